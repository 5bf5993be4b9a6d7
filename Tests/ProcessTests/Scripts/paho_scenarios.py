"""Scenarios of MQTT clients against a running hub, through paho-mqtt.

usage: paho_scenarios.py PORT SCENARIO v5|v311

Status 0: the hub did what the standard says. Else the first difference is on standard error.
"""

import json
import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

SECONDS = 15
port, scenario, version = int(sys.argv[1]), sys.argv[2], sys.argv[3]
V5 = version == "v5"
# Every scenario runs twice on one hub, once a version: their topics and clients are kept apart.
BASE = f"{scenario}/{version}"


class Client:
    """A client whose callbacks are waited for."""

    def __init__(self, name, clean=True, expiry=0, will=None, will_properties=None, keepalive=60):
        self.connacks, self.disconnects, self.acks = queue.Queue(), queue.Queue(), queue.Queue()
        self.subacks, self.messages = queue.Queue(), queue.Queue()
        self.name = f"{name}-{scenario}-{version}"
        options = {"client_id": self.name, "callback_api_version": mqtt.CallbackAPIVersion.VERSION2}
        self.arguments = {}
        if V5:
            self.client = mqtt.Client(protocol=mqtt.MQTTv5, reconnect_on_failure=False, **options)
            self.arguments["clean_start"] = clean
            if expiry:
                self.arguments["properties"] = Properties(PacketTypes.CONNECT)
                self.arguments["properties"].SessionExpiryInterval = expiry
        else:
            self.client = mqtt.Client(
                protocol=mqtt.MQTTv311, clean_session=clean, reconnect_on_failure=False, **options
            )
        if will:
            self.client.will_set(*will, properties=will_properties)
        self.keepalive = keepalive
        self.client.on_connect = lambda c, u, flags, reason, p: self.connacks.put((flags, reason, p))
        self.client.on_disconnect = lambda c, u, flags, reason, p: self.disconnects.put(
            (flags.is_disconnect_packet_from_server, reason.value)
        )
        self.client.on_publish = lambda c, u, mid, reason, p: self.acks.put((mid, reason))
        self.client.on_subscribe = lambda c, u, mid, reasons, p: self.subacks.put([r.value for r in reasons])
        self.client.on_message = lambda c, u, message: self.messages.put(message)

    def connect(self):
        self.client.connect("127.0.0.1", port, keepalive=self.keepalive, **self.arguments)
        self.client.loop_start()
        flags, reason, _ = self.connacks.get(timeout=SECONDS)
        assert not reason.is_failure, f"CONNACK: {reason}"
        self.session_present = flags.session_present
        return self

    def subscribe(self, *filters, **options):
        self.client.subscribe(list(filters), **options)
        return self.subacks.get(timeout=SECONDS)

    def publish(self, topic, payload, qos=1, retain=False, properties=None):
        self.client.publish(topic, payload, qos=qos, retain=retain, properties=properties)
        _, reason = self.acks.get(timeout=SECONDS)
        assert not reason.is_failure, f"{topic}: refused: {reason}"
        return reason

    def message(self):
        return self.messages.get(timeout=SECONDS)

    def texts(self, count):
        return [self.message().payload.decode() for _ in range(count)]

    def cut(self):
        """Loses the connection without DISCONNECT."""
        self.client.loop_stop()
        self.client.socket().close()

    def disconnect(self):
        self.client.disconnect()
        self.disconnects.get(timeout=SECONDS)
        self.client.loop_stop()


def equal(found, expected, what):
    assert found == expected, f"{what}: {found!r} instead of {expected!r}"


def matrix(topic_of, payload_of):
    """Every QoS of publishing times every QoS of subscribing: the lower one arrives."""
    sender = Client("sender").connect()
    for wanted in range(3):
        receiver = Client(f"receiver{wanted}").connect()
        equal(receiver.subscribe((topic_of("+"), wanted)), [wanted], "granted")
        for qos in range(3):
            payload = payload_of(wanted, qos)
            sender.publish(topic_of("one"), payload, qos=qos)
            message = receiver.message()
            equal(message.payload.decode(), payload, f"payload at QoS {qos}")
            equal(message.topic, topic_of("one"), f"topic at QoS {qos}")
            equal(message.qos, min(qos, wanted), f"QoS {qos} for a subscriber at {wanted}")
            equal(message.retain, False, "retain flag")
        receiver.disconnect()
    sender.disconnect()


def ordinary():
    matrix(lambda level: f"{BASE}/{level}", lambda wanted, qos: f"{wanted} {qos}")


def telemetry():
    def payload(wanted, qos):
        return json.dumps({"id": f"{version}-{wanted}-{qos}", "value": qos})

    matrix(lambda level: f"devices/{'+' if level == '+' else 'qos-' + version}/telemetry", payload)


def filters():
    cases = {
        "+/b/c": ["a/b/c"], "a/#": ["a", "a/b/c", "a/d", "a/"], "a/+": ["a/d", "a/"],
        "a/+/c": ["a/b/c"], "#": ["a", "a/b/c", "a/d", "a/", "e"], "e": ["e"],
    }  # fmt: skip
    topics = ["a", "a/b/c", "a/d", "a/", "e"]
    sender = Client("sender").connect()
    for number, (wanted, expected) in enumerate(cases.items()):
        receiver = Client(f"receiver{number}").connect()
        # The first level keeps the versions apart.
        receiver.subscribe((f"{BASE}/{wanted}", 1), (f"{BASE}-end", 1))
        for topic in topics:
            sender.publish(f"{BASE}/{topic}", topic)
        sender.publish(f"{BASE}-end", "end")
        found = []
        while (text := receiver.message().payload.decode()) != "end":
            found.append(text)
        equal(found, [topic for topic in topics if topic in expected], f"filter {wanted}")
        receiver.disconnect()
    # What begins with $ is not for wildcards at the first level.
    receiver = Client("dollar").connect()
    receiver.subscribe(("+/probe", 1), (f"{BASE}-end", 1))
    sender.publish("$probe/probe", "hidden")
    sender.publish(f"{BASE}-end", "end")
    equal(receiver.texts(1), ["end"], "+/probe and $probe/probe")
    receiver.client.unsubscribe(f"{BASE}-end")
    receiver.disconnect()
    sender.disconnect()


def retained():
    sender = Client("sender").connect()
    sender.publish(f"{BASE}/kept", "old", retain=True)
    sender.publish(f"{BASE}/kept", "new", retain=True, qos=2)
    sender.publish(f"{BASE}/gone", "x", retain=True)
    sender.publish(f"{BASE}/gone", b"", retain=True)
    receiver = Client("receiver").connect()
    receiver.subscribe((f"{BASE}/#", 1))
    message = receiver.message()
    equal((message.payload.decode(), message.retain), ("new", True), "the retained message")
    sender.publish(f"{BASE}/kept", "live", retain=True)
    message = receiver.message()
    equal((message.payload.decode(), message.retain), ("live", False), "an existing subscription")
    sender.publish(f"{BASE}/kept", b"", retain=True)
    equal(receiver.texts(1), [""], "the message that clears")
    late = Client("late").connect()
    late.subscribe((f"{BASE}/#", 1))
    sender.publish(f"{BASE}/end", "end")
    equal(late.texts(1), ["end"], "after clearing")
    for client in (late, receiver, sender):
        client.disconnect()


def will():
    receiver = Client("receiver").connect()
    receiver.subscribe((f"{BASE}/#", 2))
    properties = None
    if V5:
        properties = Properties(PacketTypes.WILLMESSAGE)
        properties.UserProperty = [("who", "device")]
        properties.ContentType = "text/plain"
    doomed = Client("doomed", will=(f"{BASE}/will", "gone", 2, False), will_properties=properties).connect()
    doomed.cut()
    message = receiver.message()
    equal((message.payload.decode(), message.qos), ("gone", 2), "the will")
    if V5:
        equal(message.properties.UserProperty, [("who", "device")], "user properties of the will")
        equal(message.properties.ContentType, "text/plain", "content type of the will")
    polite = Client("polite", will=(f"{BASE}/will", "never", 1, False)).connect()
    polite.disconnect()
    receiver.client.publish(f"{BASE}/end", "end", qos=1)
    equal(receiver.texts(1), ["end"], "after DISCONNECT there is no will")
    receiver.disconnect()


def session():
    sender = Client("sender").connect()
    first = Client("sleeper", clean=False, expiry=300).connect()
    equal(first.session_present, False, "session present at first")
    first.subscribe((f"{BASE}/#", 1))
    first.cut()
    expected = [str(number) for number in range(50)]
    for text in expected:
        sender.publish(f"{BASE}/x", text)
    second = Client("sleeper", clean=False, expiry=300).connect()
    equal(second.session_present, True, "session present after the reconnect")
    equal(second.texts(50), expected, "what was sent meanwhile")
    second.disconnect()
    third = Client("sleeper", clean=True).connect()
    equal(third.session_present, False, "session present after a clean start")
    sender.publish(f"{BASE}/x", "nobody")
    third.subscribe((f"{BASE}/end", 1))
    sender.publish(f"{BASE}/end", "end")
    equal(third.texts(1), ["end"], "a clean start has no subscriptions")
    third.disconnect()
    sender.disconnect()


def takeover():
    first = Client("twin").connect()
    second = Client("twin").connect()
    by_packet, reason = first.disconnects.get(timeout=SECONDS)
    if V5:
        equal((by_packet, reason), (True, 0x8E), "the first client gets DISCONNECT 0x8E")
    second.subscribe((f"{BASE}/x", 1))
    second.publish(f"{BASE}/x", "still here")
    equal(second.texts(1), ["still here"], "the second client")
    second.disconnect()


def properties():
    receiver = Client("receiver").connect()
    options = {"options": SubscribeOptions(qos=1)}
    sent = Properties(PacketTypes.PUBLISH)
    sent.UserProperty = [("a", "1"), ("b", "ü"), ("a", "2")]
    sent.ContentType = "application/json"
    sent.ResponseTopic = f"{BASE}/reply"
    sent.CorrelationData = b"\x00\x01\xff"
    sent.PayloadFormatIndicator = 1
    sent.MessageExpiryInterval = 100
    identified = Properties(PacketTypes.SUBSCRIBE)
    identified.SubscriptionIdentifier = 77
    receiver.client.subscribe(f"{BASE}/x", properties=identified, **options)
    receiver.subacks.get(timeout=SECONDS)
    receiver.client.subscribe("devices/carried/telemetry", **options)
    receiver.subacks.get(timeout=SECONDS)
    sender = Client("sender").connect()
    for topic in (f"{BASE}/x", "devices/carried/telemetry"):
        for qos in range(3):
            sender.publish(topic, json.dumps({"id": f"p{qos}", "value": 1}), qos=qos, properties=sent)
            found = receiver.message().properties
            equal(found.UserProperty, sent.UserProperty, f"{topic}: user properties")
            equal(found.ContentType, sent.ContentType, f"{topic}: content type")
            equal(found.ResponseTopic, sent.ResponseTopic, f"{topic}: response topic")
            equal(found.CorrelationData, sent.CorrelationData, f"{topic}: correlation data")
            equal(found.PayloadFormatIndicator, 1, f"{topic}: payload format")
            assert 0 < found.MessageExpiryInterval <= 100, f"{topic}: expiry {found.MessageExpiryInterval}"
            if topic == f"{BASE}/x":
                equal(found.SubscriptionIdentifier, [77], "subscription identifier")
    sender.disconnect()
    receiver.disconnect()


def offline_publisher():
    """QoS 2 over a cut connection: sent again by the client, delivered once."""
    receiver = Client("receiver").connect()
    receiver.subscribe((f"{BASE}/x", 2))
    sender = Client("again", clean=False, expiry=300).connect()
    for number in range(20):
        sender.client.publish(f"{BASE}/x", str(number), qos=2)
    sender.cut()
    sender.client.reconnect()
    sender.client.loop_start()
    equal(receiver.texts(20), [str(number) for number in range(20)], "QoS 2 over a cut connection")
    sender.publish(f"{BASE}/x", "end", qos=2)
    equal(receiver.texts(1), ["end"], "nothing twice")


known = [
    ordinary, telemetry, filters, retained, will, session, takeover, properties, offline_publisher
]  # fmt: skip
try:
    {function.__name__: function for function in known}[scenario]()
except queue.Empty:
    import traceback

    traceback.print_exc()
    sys.exit(f"{scenario} {version}: nothing came within {SECONDS} s")
except AssertionError as error:
    sys.exit(f"{scenario} {version}: {error}")
