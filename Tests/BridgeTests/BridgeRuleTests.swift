import Bridge
import MQTTWire
import Testing

@Suite("Bridge rules")
struct BridgeRuleTests {
    private static let both = BridgeRule(
        direction: .both, filter: "+/state", localPrefix: "plant/", remotePrefix: "site/7/")

    @Test(
        "A topic keeps its rest and changes its prefix, both ways",
        arguments: [
            ("site/7/pump/state", "plant/pump/state"), ("site/7//state", "plant//state"),
        ])
    func renames(_ remote: String, _ local: String) {
        #expect(TopicMap([Self.both], isInward: true).map(remote)?.topic == local)
        #expect(TopicMap([Self.both], isInward: false).map(local)?.topic == remote)
    }

    @Test(
        "Other topics do not cross",
        arguments: ["site/7/state", "site/7/a/b/state", "site/8/a/state", "", "a"])
    func staysHere(_ topic: String) {
        #expect(TopicMap([Self.both], isInward: true).map(topic) == nil)
    }

    @Test(
        "Filters match as the standard says",
        arguments: [
            ("#", "a", true), ("#", "a/b", true), ("#", "$SYS/a", false), ("a/#", "a", true),
            ("a/#", "a/", true),
            ("a/#", "ab", false), ("a/+", "a", false), ("a/+", "a/", true), ("a/+", "a/b", true),
            ("a/+", "a/b/c", false), ("+", "a", true), ("+", "$a", false), ("+/b", "/b", true),
            ("a", "a", true),
            ("a", "a/b", false), ("$SYS/#", "$SYS/broker", true), ("+/+", "/", true), ("a/+/c", "a//c", true),
        ] as [(String, String, Bool)])
    func matches(_ filter: String, _ topic: String, _ expected: Bool) {
        let map = TopicMap([BridgeRule(direction: .in, filter: filter)], isInward: true)
        #expect(map.matches(topic) == expected)
    }

    @Test("An empty filter stands for one topic with a name on either side")
    func wholeNames() {
        let rule = BridgeRule(direction: .out, filter: "", localPrefix: "here/x", remotePrefix: "there/y")
        let map = TopicMap([rule], isInward: false)
        #expect(map.map("here/x")?.topic == "there/y")
        #expect(map.map("here/x/z") == nil)
        #expect(TopicMap([rule], isInward: true).map("there/y") == nil)
    }

    @Test("The first rule that matches decides")
    func order() {
        let map = TopicMap(
            [
                BridgeRule(direction: .in, filter: "a/#", qos: 0, localPrefix: "first/"),
                BridgeRule(direction: .in, filter: "#", qos: 1, localPrefix: "second/"),
            ], isInward: true)
        #expect(map.map("a/b")?.topic == "first/a/b")
        #expect(map.map("a/b")?.qos == 0)
        #expect(map.map("b")?.topic == "second/b")
    }

    @Test("A shared subscription is asked for with its group and matched without it")
    func shared() {
        let rule = BridgeRule(direction: .in, filter: "a/#", remotePrefix: "x/", shareGroup: "g")
        #expect(rule.remoteSubscription == "$share/g/x/a/#")
        #expect(TopicMap([rule], isInward: true).map("x/a/b")?.topic == "a/b")
    }
}

@Suite("Bridge loops")
struct BridgeLoopTests {
    @Test("A message is stopped at the hub that it was at, and after sixteen hubs at any")
    func via() {
        var properties = Properties()
        #expect(!ViaMark.isLoop(properties, hub: "a"))
        ViaMark.append(to: &properties, hub: "a")
        #expect(ViaMark.isLoop(properties, hub: "a"))
        #expect(!ViaMark.isLoop(properties, hub: "b"))
        for hub in 1..<16 { ViaMark.append(to: &properties, hub: "\(hub)") }
        #expect(ViaMark.isLoop(properties, hub: "b"))
    }

    @Test("Each message sent is recognised once when it comes back, and an equal one more is let through")
    func echoes() {
        var echo = EchoFilter()
        echo.expect(topic: "t", payload: [1], now: 0)
        echo.expect(topic: "t", payload: [1], now: 1)
        #expect(echo.takeEcho(topic: "t", payload: [2], now: 2) == false)
        #expect(echo.takeEcho(topic: "u", payload: [1], now: 2) == false)
        #expect(echo.takeEcho(topic: "t", payload: [1], now: 2) == true)
        #expect(echo.takeEcho(topic: "t", payload: [1], now: 2) == true)
        #expect(echo.takeEcho(topic: "t", payload: [1], now: 2) == false)
    }

    @Test("What does not come back is forgotten after half a minute, and the oldest of too many")
    func forgets() {
        var echo = EchoFilter()
        echo.expect(topic: "t", payload: [], now: 0)
        #expect(echo.takeEcho(topic: "t", payload: [], now: EchoFilter.lifetimeNanoseconds) == false)
        for index in 0...EchoFilter.messagesMax { echo.expect(topic: "\(index)", payload: [], now: 5) }
        #expect(echo.count == EchoFilter.messagesMax)
        #expect(echo.takeEcho(topic: "0", payload: [], now: 6) == false)
        #expect(echo.takeEcho(topic: "1", payload: [], now: 6) == true)
    }

    @Test("An echo that was ticked off does not shorten the memory of an equal message sent later")
    func ticksOffOnce() {
        var echo = EchoFilter()
        echo.expect(topic: "t", payload: [], now: 0)
        #expect(echo.takeEcho(topic: "t", payload: [], now: 1) == true)
        echo.expect(topic: "t", payload: [], now: 10)
        // The first entry's time is over; it must not take the second one's count with it.
        #expect(echo.takeEcho(topic: "t", payload: [], now: EchoFilter.lifetimeNanoseconds + 5) == true)
    }
}
