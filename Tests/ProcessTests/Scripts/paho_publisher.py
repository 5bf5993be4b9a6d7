"""Publishes readings through paho-mqtt until a stop file appears, over any number of lost connections.

usage: paho_publisher.py PORT v5|v311 QOS DEVICE ACKED_FILE STOP_FILE

Message n is {"id": "DEVICE:n", "ts": now, "value": n, "text": …}. Every acknowledged n is a line of ACKED_FILE.
Ends with status 0 when the stop file is there and everything sent is acknowledged; prints how many were sent.
"""

import json
import os
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

WINDOW = 20
DRAIN_SECONDS = 60
FILLING = "x" * 250

port, version, qos, device, acked_path, stop_path = sys.argv[1:7]
port, qos = int(port), int(qos)

acked = open(acked_path, "w", buffering=1)
pending = {}
connected = False
refused = []


def on_connect(client, userdata, flags, reason_code, properties):
    global connected
    connected = not reason_code.is_failure


def on_disconnect(client, userdata, flags, reason_code, properties):
    global connected
    connected = False


def on_publish(client, userdata, mid, reason_code, properties):
    number = pending.pop(mid, None)
    if reason_code.is_failure:
        refused.append(f"{number}: {reason_code}")
    elif number is not None:
        acked.write(f"{number}\n")


options = {"client_id": "paho-" + device, "callback_api_version": mqtt.CallbackAPIVersion.VERSION2}
if version == "v5":
    client = mqtt.Client(protocol=mqtt.MQTTv5, **options)
    session = Properties(PacketTypes.CONNECT)
    session.SessionExpiryInterval = 3600
    arguments = {"clean_start": False, "properties": session}
else:
    client = mqtt.Client(protocol=mqtt.MQTTv311, clean_session=False, **options)
    arguments = {}
client.on_connect, client.on_disconnect, client.on_publish = on_connect, on_disconnect, on_publish
client.max_inflight_messages_set(WINDOW)

sent = 0
is_up = False
drain_end = None
while True:
    if not is_up:
        try:
            client.connect("127.0.0.1", port, keepalive=60, **arguments)
            is_up = True
        except OSError:
            time.sleep(0.02)
    elif client.loop(0.01) != mqtt.MQTT_ERR_SUCCESS:
        is_up, connected = False, False
    if drain_end is None and os.path.exists(stop_path):
        drain_end = time.monotonic() + DRAIN_SECONDS
    if drain_end is not None:
        if not pending:
            break
        if time.monotonic() > drain_end:
            sys.exit(f"{len(pending)} messages were never acknowledged: {sorted(pending.values())[:10]}")
        continue
    # Nothing is given to the library without a connection: it would send that ahead of what is sent again.
    while connected and len(pending) < WINDOW:
        sent += 1
        ts = int(time.time() * 1000)
        body = json.dumps({"id": f"{device}:{sent}", "ts": ts, "value": sent, "text": FILLING})
        info = client.publish(f"devices/{device}/telemetry", body, qos=qos)
        pending[info.mid] = sent

client.disconnect()
acked.close()
if refused:
    sys.exit(f"refused: {refused[:10]}")
print(sent)
