"""paho-mqtt (Python) in the client matrix; see client_harness.py."""

import queue
import time

import paho.mqtt.client as mqtt
from client_harness import (
    BACKLOG, LARGE, PREFIX, SECONDS, SHARED, TLS, URL, V5, WEBSOCKET, NotThere, cut, equal, in_order, reading, run,
    tls_context,
)
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


class Client:
    """A client whose callbacks are waited for."""

    def __init__(self, name, clean=True, will=None):
        self.events = {kind: queue.Queue() for kind in ("connack", "suback", "ack", "message", "end")}
        self.clean = clean
        options = {} if V5 else {"clean_session": clean}
        self.client = mqtt.Client(
            callback_api_version=mqtt.CallbackAPIVersion.VERSION2, client_id=f"{PREFIX}-{name}",
            protocol=mqtt.MQTTv5 if V5 else mqtt.MQTTv311, reconnect_on_failure=False,
            transport="websockets" if WEBSOCKET else "tcp", **options,
        )  # fmt: skip
        if WEBSOCKET:
            self.client.ws_set_options(path=URL.path)
        if TLS:
            self.client.tls_set_context(tls_context())
        if will:
            self.client.will_set(*will)
        self.client.on_connect = lambda c, u, flags, reason, p: self.events["connack"].put((flags, reason))
        self.client.on_subscribe = lambda c, u, mid, reasons, p: self.events["suback"].put(
            [reason.value for reason in reasons]
        )
        self.client.on_publish = lambda c, u, mid, reason, p: self.events["ack"].put(reason)
        self.client.on_message = lambda c, u, message: self.events["message"].put(message)
        self.client.on_disconnect = lambda c, u, flags, reason, p: self.events["end"].put(reason)

    def next(self, kind):
        try:
            return self.events[kind].get(timeout=SECONDS)
        except queue.Empty:
            raise TimeoutError(f"no {kind} within {SECONDS} s") from None

    def connect(self):
        options = {}
        if V5:
            options["clean_start"] = self.clean
            if not self.clean:
                options["properties"] = Properties(PacketTypes.CONNECT)
                options["properties"].SessionExpiryInterval = 300
        self.client.connect(URL.hostname, URL.port, keepalive=60, **options)
        self.client.loop_start()
        flags, reason = self.next("connack")
        if reason.is_failure:
            raise AssertionError(f"CONNACK: {reason}")
        self.session_present = flags.session_present
        return self

    def subscribe(self, topic, qos=1):
        self.client.subscribe(topic, qos)
        equal(self.next("suback"), [qos], f"granted for {topic}")

    def publish(self, topic, payload, qos=1, retain=False, properties=None):
        self.client.publish(topic, payload, qos=qos, retain=retain, properties=properties)
        reason = self.next("ack")
        if reason.is_failure:
            raise AssertionError(f"{topic}: {reason}")

    def texts(self, count):
        return [self.next("message").payload.decode() for _ in range(count)]

    def disconnect(self):
        self.client.disconnect()
        self.next("end")
        self.client.loop_stop()

    def cut(self):
        """Loses the connection without DISCONNECT."""
        cut(self.client.socket())
        self.next("end")
        self.client.loop_stop()


def qos():
    sender = Client("sender").connect()
    for wanted in range(3):
        receiver = Client(f"receiver{wanted}").connect()
        receiver.subscribe(f"{PREFIX}/qos/#", wanted)
        for given in range(3):
            sender.publish(f"{PREFIX}/qos/{given}", f"{wanted}{given}", given)
            message = receiver.next("message")
            equal(
                (message.topic, message.payload.decode(), message.qos, message.retain),
                (f"{PREFIX}/qos/{given}", f"{wanted}{given}", min(wanted, given), False), "message",
            )  # fmt: skip
        receiver.disconnect()
    sender.disconnect()


def retained():
    sender = Client("sender").connect()
    for level in "ab":
        sender.publish(f"{PREFIX}/retained/{level}", level, retain=True)
    sender.publish(f"{PREFIX}/retained/a", "", retain=True)
    receiver = Client("receiver").connect()
    receiver.subscribe(f"{PREFIX}/retained/#")
    message = receiver.next("message")
    equal((message.payload.decode(), message.retain), ("b", True), "retained message")
    sender.publish(f"{PREFIX}/retained/a", "later")
    message = receiver.next("message")
    equal((message.payload.decode(), message.retain), ("later", False), "message of now")
    sender.publish(f"{PREFIX}/retained/b", "", retain=True)
    receiver.disconnect()
    sender.disconnect()


def will():
    watcher = Client("watcher").connect()
    watcher.subscribe(f"{PREFIX}/will")
    # The one that says goodbye has none.
    Client("polite", will=(f"{PREFIX}/will", "polite", 1, False)).connect().disconnect()
    Client("cut", will=(f"{PREFIX}/will", "cut", 1, False)).connect().cut()
    equal(watcher.texts(1), ["cut"], "will")
    watcher.disconnect()


def resume():
    Client("resumed").connect().disconnect()
    receiver = Client("resumed", clean=False).connect()
    equal(receiver.session_present, False, "session of a new client")
    receiver.subscribe(f"{PREFIX}/resume", 2)
    receiver.disconnect()
    sender = Client("sender").connect()
    texts = [f"{number}" for number in range(BACKLOG)]
    for number, text in enumerate(texts):
        sender.publish(f"{PREFIX}/resume", text, 1 + number % 2)
    # Without another SUBSCRIBE.
    receiver = Client("resumed", clean=False).connect()
    equal(receiver.session_present, True, "session after the pause")
    in_order(receiver.texts(BACKLOG), texts, "backlog")
    receiver.disconnect()
    sender.disconnect()
    Client("resumed").connect().disconnect()


def large():
    receiver = Client("receiver").connect()
    receiver.subscribe(f"{PREFIX}/large")
    sender = Client("sender").connect()
    start = time.monotonic()
    sender.publish(f"{PREFIX}/large", LARGE)
    equal(receiver.next("message").payload == LARGE, True, "1 MiB came back the same")
    # The aim is a second; the machine of a test may be busy.
    equal(time.monotonic() - start < 5, True, "1 MiB took less than 5 s")
    receiver.disconnect()
    sender.disconnect()


def shared():
    members = [Client(f"member{number}").connect() for number in range(2)]
    for member in members:
        member.subscribe(f"$share/g/{PREFIX}/shared")
    sender = Client("sender").connect()
    texts = [f"{number}" for number in range(SHARED)]
    for text in texts:
        sender.publish(f"{PREFIX}/shared", text)
    found, deadline = [], time.monotonic() + SECONDS
    while len(found) < SHARED and time.monotonic() < deadline:
        for member in members:
            while not member.events["message"].empty():
                found.append((member, member.events["message"].get().payload.decode()))
        time.sleep(0.005)
    equal(sorted(text for _, text in found), sorted(texts), "each message once")
    equal({member for member, _ in found} == set(members), True, "both members had some")
    for member in members:
        own = [int(text) for who, text in found if who is member]
        equal(own, sorted(own), "order of a member")
        member.disconnect()
    sender.disconnect()


def request():
    if not V5:
        raise NotThere("3.1.1 has no response topic")
    answerer = Client("answerer").connect()
    answerer.subscribe(f"{PREFIX}/request")
    asker = Client("asker").connect()
    asker.subscribe(f"{PREFIX}/answer/+")
    for number in range(3):
        asked = Properties(PacketTypes.PUBLISH)
        asked.ResponseTopic = f"{PREFIX}/answer/{number}"
        asked.CorrelationData = bytes([number, 0, 255])
        asker.publish(f"{PREFIX}/request", f"{number}", properties=asked)
        got = answerer.next("message")
        answered = Properties(PacketTypes.PUBLISH)
        answered.CorrelationData = got.properties.CorrelationData
        answerer.publish(got.properties.ResponseTopic, got.payload + b"!", properties=answered)
        message = asker.next("message")
        equal(
            (message.topic, message.payload, message.properties.CorrelationData),
            (f"{PREFIX}/answer/{number}", b"%d!" % number, bytes([number, 0, 255])), "answer",
        )  # fmt: skip
    answerer.disconnect()
    asker.disconnect()


def telemetry():
    sender = Client("sender").connect()
    for _ in range(2):
        for number in range(5):
            sender.publish(f"devices/{PREFIX}/telemetry", reading(number), number % 3)
    # QoS 0 has no acknowledgement of its own; what is behind it in the connection has.
    sender.publish(f"devices/{PREFIX}/telemetry", reading(5), 1)
    sender.disconnect()


run(
    {
        "qos": qos, "retained": retained, "will": will, "resume": resume, "large": large, "shared": shared,
        "request": request, "telemetry": telemetry,
    }
)  # fmt: skip
