"""Reads a consumer group through paho-mqtt until a stop file appears, over any number of lost connections.

usage: paho_member.py PORT v5|v311 GROUP NAME OUTPUT_FILE STOP_FILE

Every message is a line `topic payload` of OUTPUT_FILE, written before paho acknowledges it.
"""

import os
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

port, version, group, name, output_path, stop_path = sys.argv[1:7]
port = int(port)
output = open(output_path, "a", buffering=1)
refused = []


def on_connect(client, userdata, flags, reason_code, properties):
    client.subscribe(f"$share/{group}/$queue/#", qos=1)


def on_subscribe(client, userdata, mid, reason_codes, properties):
    if reason_codes[0].is_failure:
        refused.append(str(reason_codes[0]))


def on_message(client, userdata, message):
    output.write(f"{message.topic} {message.payload.decode()}\n")


options = {"client_id": name, "callback_api_version": mqtt.CallbackAPIVersion.VERSION2}
if version == "v5":
    client = mqtt.Client(protocol=mqtt.MQTTv5, **options)
    limits = Properties(PacketTypes.CONNECT)
    limits.ReceiveMaximum = 10
    arguments = {"clean_start": True, "properties": limits}
else:
    client = mqtt.Client(protocol=mqtt.MQTTv311, clean_session=True, **options)
    arguments = {}
client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message

is_up = False
while not os.path.exists(stop_path):
    if not is_up:
        try:
            client.connect("127.0.0.1", port, keepalive=60, **arguments)
            is_up = True
        except OSError:
            time.sleep(0.02)
    elif client.loop(0.01) != mqtt.MQTT_ERR_SUCCESS:
        is_up = False

client.disconnect()
if refused:
    sys.exit(f"refused: {refused[:10]}")
