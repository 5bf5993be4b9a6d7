"""A round trip over one listener: paho_listener.py PORT tcp|websockets CA|- VERSION BYTES

Publishes at QoS 0, 1 and 2 to itself, the last with BYTES of payload, and prints the seconds that this one took."""
import queue
import sys
import time

import paho.mqtt.client as mqtt

port, transport, ca, version, size = sys.argv[1:]
client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2, client_id="roundtrip", transport=transport,
    protocol=mqtt.MQTTv5 if version == "v5" else mqtt.MQTTv311)
if ca != "-":
    client.tls_set(ca)
messages = queue.Queue()
ready = queue.Queue()
client.on_subscribe = lambda *_: ready.put(True)
client.on_message = lambda _client, _data, message: messages.put((message.qos, message.payload))
client.connect("localhost", int(port), keepalive=30)
client.loop_start()
client.subscribe("echo/#", qos=2)
ready.get(timeout=10)
for qos in (0, 1, 2):
    body = b"x" * (int(size) if qos == 1 else 10 + qos)
    start = time.monotonic()
    info = client.publish("echo/x", body, qos=qos)
    info.wait_for_publish(timeout=20)
    seconds = time.monotonic() - start
    assert messages.get(timeout=20) == (qos, body), f"QoS {qos} came back changed"
    if qos == 1:
        print(f"{seconds:.3f}")
client.disconnect()
client.loop_stop()
