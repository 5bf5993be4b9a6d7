"""aiomqtt in the client matrix; see client_harness.py."""

import asyncio

import aiomqtt
from client_harness import (
    BACKLOG, LARGE, PREFIX, SECONDS, SHARED, TLS, URL, V5, WEBSOCKET, NotThere, cut, equal, in_order, reading, run,
    tls_context,
)
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def client(name, clean=True, will=None):
    options = {}
    if V5:
        options["clean_start"] = clean
        if not clean:
            options["properties"] = Properties(PacketTypes.CONNECT)
            options["properties"].SessionExpiryInterval = 300
    else:
        options["clean_session"] = clean
    if WEBSOCKET:
        options["websocket_path"] = URL.path
    return aiomqtt.Client(
        URL.hostname, URL.port, identifier=f"{PREFIX}-{name}", timeout=SECONDS,
        protocol=aiomqtt.ProtocolVersion.V5 if V5 else aiomqtt.ProtocolVersion.V311, will=will,
        transport="websockets" if WEBSOCKET else "tcp", tls_context=tls_context() if TLS else None, **options,
    )  # fmt: skip


async def messages(client, count):
    found = []

    async def collect():
        async for message in client.messages:
            found.append(message)
            if len(found) == count:
                return

    try:
        await asyncio.wait_for(collect(), SECONDS)
    except asyncio.TimeoutError:
        raise TimeoutError(f"{len(found)} of {count} messages within {SECONDS} s") from None
    return found


async def texts(client, count):
    return [message.payload.decode() for message in await messages(client, count)]


async def subscribe(client, topic, qos=1):
    granted = await client.subscribe(topic, qos)
    equal([getattr(reason, "value", reason) for reason in granted], [qos], f"granted for {topic}")


async def qos():
    async with client("sender") as sender:
        for wanted in range(3):
            async with client(f"receiver{wanted}") as receiver:
                await subscribe(receiver, f"{PREFIX}/qos/#", wanted)
                for given in range(3):
                    await sender.publish(f"{PREFIX}/qos/{given}", f"{wanted}{given}", given)
                    (message,) = await messages(receiver, 1)
                    equal(
                        (message.topic.value, message.payload.decode(), message.qos, message.retain),
                        (f"{PREFIX}/qos/{given}", f"{wanted}{given}", min(wanted, given), False), "message",
                    )  # fmt: skip


async def retained():
    async with client("sender") as sender, client("receiver") as receiver:
        await sender.publish(f"{PREFIX}/retained", "kept", 1, retain=True)
        await subscribe(receiver, f"{PREFIX}/retained")
        (message,) = await messages(receiver, 1)
        equal((message.payload, message.retain), (b"kept", True), "retained message")
        await sender.publish(f"{PREFIX}/retained", None, 1, retain=True)
        (message,) = await messages(receiver, 1)
        equal((message.payload, message.retain), (b"", False), "its end")


async def will():
    async with client("watcher") as watcher:
        await subscribe(watcher, f"{PREFIX}/will")
        async with client("polite", will=aiomqtt.Will(f"{PREFIX}/will", "polite", 1)):
            pass
        try:
            async with client("cut", will=aiomqtt.Will(f"{PREFIX}/will", "cut", 1)) as lost:
                # Under the library's feet.
                cut(lost._client.socket())
                await asyncio.wait_for(asyncio.shield(lost._disconnected), SECONDS)
        except aiomqtt.MqttError:
            pass
        equal(await texts(watcher, 1), ["cut"], "will")


async def resume():
    async with client("resumed"):
        pass
    async with client("resumed", clean=False) as receiver:
        await subscribe(receiver, f"{PREFIX}/resume", 2)
    expected = [f"{number}" for number in range(BACKLOG)]
    async with client("sender") as sender:
        for number, text in enumerate(expected):
            await sender.publish(f"{PREFIX}/resume", text, 1 + number % 2)
    async with client("resumed", clean=False) as receiver:
        in_order(await texts(receiver, BACKLOG), expected, "backlog")
    async with client("resumed"):
        pass


async def large():
    async with client("sender") as sender, client("receiver") as receiver:
        await subscribe(receiver, f"{PREFIX}/large")
        await sender.publish(f"{PREFIX}/large", LARGE, 1, timeout=SECONDS)
        (message,) = await messages(receiver, 1)
        equal(message.payload == LARGE, True, "1 MiB came back the same")


async def shared():
    async with client("sender") as sender, client("member0") as first, client("member1") as second:
        for member in (first, second):
            await subscribe(member, f"$share/g/{PREFIX}/shared")
        expected = [f"{number}" for number in range(SHARED)]
        found = ([], [])

        async def collect(member, own):
            async for message in member.messages:
                own.append(message.payload.decode())

        tasks = [asyncio.ensure_future(collect(*pair)) for pair in zip((first, second), found)]
        for text in expected:
            await sender.publish(f"{PREFIX}/shared", text, 1)
        for _ in range(SECONDS * 100):
            if len(found[0]) + len(found[1]) >= SHARED:
                break
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        equal(sorted(found[0] + found[1]), sorted(expected), "each message once")
        equal(bool(found[0]) and bool(found[1]), True, "both members had some")


async def request():
    if not V5:
        raise NotThere("3.1.1 has no response topic")
    async with client("answerer") as answerer, client("asker") as asker:
        await subscribe(answerer, f"{PREFIX}/request")
        await subscribe(asker, f"{PREFIX}/answer")
        asked = Properties(PacketTypes.PUBLISH)
        asked.ResponseTopic = f"{PREFIX}/answer"
        asked.CorrelationData = b"\x01\x00\xff"
        await asker.publish(f"{PREFIX}/request", "ask", 1, properties=asked)
        (got,) = await messages(answerer, 1)
        answered = Properties(PacketTypes.PUBLISH)
        answered.CorrelationData = got.properties.CorrelationData
        await answerer.publish(got.properties.ResponseTopic, got.payload + b"!", 1, properties=answered)
        (message,) = await messages(asker, 1)
        equal((message.payload, message.properties.CorrelationData), (b"ask!", b"\x01\x00\xff"), "answer")


async def telemetry():
    async with client("sender") as sender:
        for _ in range(2):
            for number in range(5):
                await sender.publish(f"devices/{PREFIX}/telemetry", reading(number), number % 3)
        await sender.publish(f"devices/{PREFIX}/telemetry", reading(5), 1)


scenarios = {
    "qos": qos, "retained": retained, "will": will, "resume": resume, "large": large, "shared": shared,
    "request": request, "telemetry": telemetry,
}  # fmt: skip
run({name: lambda body=body: asyncio.run(body()) for name, body in scenarios.items()})
