import Foundation
import Testing

@Suite("What people see of queries", .ownThread, .timeLimit(.minutes(3)))
struct QueryStatusTests {
    private func put(_ hub: HubProcess, _ path: String, _ text: String) throws {
        let reply = try hub.request("PUT", "/api/v1/queries/" + path, text)
        #expect(reply.status == 201, "\(path): \(reply.text)")
    }

    private func publish(_ hub: HubProcess, _ device: String, _ bodies: [String]) throws {
        let socket = try RawSocket(port: hub.mqttPort)
        socket.send(MQTTPackets.connect("from-" + device))
        #expect(socket.receive(count: 4) == MQTTPackets.connackAccepted)
        for (index, body) in bodies.enumerated() {
            socket.send(
                MQTTPackets.publish(
                    "devices/\(device)/telemetry", body, qos: 1, identifier: UInt16(index + 1)))
            #expect(socket.receive(count: 4).first == 0x40)
        }
    }

    private func why(_ hub: HubProcess, _ name: String, _ text: String) throws {
        let found = try poll(seconds: 20) { () -> String? in
            let why = try hub.object("/api/v1/queries/\(name)")["why"] as? String ?? ""
            return why.contains(text) ? why : nil
        }
        #expect(found != nil, "\(name): \(hub.text("/api/v1/queries/\(name)"))")
    }

    @Test("status says why there is no output, for each reason that there is")
    func reasons() throws {
        let hub = try HubProcess(["--no-minute-query"])
        let missing = try hub.request("GET", "/api/v1/queries/minute")
        #expect(missing.status == 404)
        #expect(missing.text.contains("there are none yet"), "\(missing.text)")
        let byDevice = "GROUP BY IoTHub.ConnectionDeviceId,"
        let ownTime = "FROM telemetry TIMESTAMP BY ts OVER IoTHub.ConnectionDeviceId"
        try put(hub, "none", "SELECT v INTO o FROM telemetry WHERE v > 1000")
        try put(hub, "typo", "SELECT temprature AS t INTO o FROM telemetry WHERE temprature > 1")
        try put(hub, "window", "SELECT COUNT(*) AS n INTO o \(ownTime) \(byDevice) TumblingWindow(day, 1)")
        try put(
            hub, "session", "SELECT COUNT(*) AS n INTO o \(ownTime) \(byDevice) SessionWindow(hour, 1, 2)")
        try put(hub, "sliding", "SELECT COUNT(*) AS n INTO o \(ownTime) \(byDevice) SlidingWindow(hour, 1)")
        try put(
            hub, "join?late=1h",
            "SELECT a.v AS v INTO o FROM telemetry a TIMESTAMP BY ts JOIN telemetry b TIMESTAMP BY ts "
                + "ON a.v = b.w AND DATEDIFF(minute, a, b) BETWEEN 0 AND 30")
        try put(
            hub, "sorted?outOfOrder=1h&late=2h",
            "SELECT v, LAG(v) OVER (LIMIT DURATION(hour, 1)) AS p INTO o FROM telemetry TIMESTAMP BY ts")
        try put(
            hub, "held?late=1h&watermarkOver=IoTHub.ConnectionDeviceId&idleAfter=30m",
            "SELECT COUNT(*) AS n INTO o FROM telemetry TIMESTAMP BY ts GROUP BY TumblingWindow(day, 1)")
        try put(hub, "ahead", "SELECT v INTO o FROM telemetry TIMESTAMP BY future")
        try put(hub, "halted?onError=stop", "SELECT CAST(text AS bigint) AS n INTO o FROM telemetry")
        try put(hub, "blocked?onError=retry", "SELECT CAST(text AS bigint) AS n INTO o FROM telemetry")
        try put(hub, "dropping?onError=drop", "SELECT CAST(text AS bigint) AS n INTO o FROM telemetry")
        try put(hub, "diverting", "SELECT CAST(text AS bigint) AS n INTO o FROM telemetry")
        try put(hub, "resting", "SELECT v INTO o FROM telemetry")
        #expect(try hub.request("POST", "/api/v1/queries/resting/pause").status == 200)
        let now = epochMilliseconds()
        try publish(
            hub, "a",
            (1...12).map {
                #"{"id":"\#($0)","ts":\#(now),"future":\#(now + 7_200_000),"v":\#($0),"temperature":20,"text":"x"}"#
            })
        try why(hub, "none", "12 events came, and none passed the conditions")
        // Of 10, 11 or 12: how many were looked at by then does not matter.
        try why(hub, "typo", "\"temprature\" was in none of 1")
        try why(hub, "typo", "did you mean \"temperature\"?")
        try why(hub, "window", "is open of the timeline \"a\"")
        try why(hub, "session", "makes a session longer")
        try why(hub, "session", "of the timeline \"a\"")
        try why(hub, "sliding", "of the timeline \"a\"")
        try why(hub, "join", "12 rows of the left side of the join and 12 of the right wait")
        try why(
            hub, "sorted",
            "12 rows wait until time is past by the out-of-order tolerance of 1 h, or the hub's clock")
        try why(hub, "held", "It is that of \"a\", the only device that has sent lately")
        #expect(
            (try hub.object("/api/v1/queries/held")["lastDevice"] as? [String: Any])?["device"] as? String
                == "\"a\"")
        try why(hub, "ahead", "12 of 12 events were early, the last of a")
        try why(hub, "ahead", "1 h 59 min")
        try why(hub, "halted", "on error: stop")
        try why(hub, "halted", "headend query resume halted")
        try why(hub, "blocked", "on error: retry")
        try why(hub, "blocked", "\"text\":\"x\"")
        try why(hub, "resting", "bytes of the log wait for it")
        #expect(try hub.object("/api/v1/queries/blocked")["state"] as? String == "blocked")
        let dropped = try poll(seconds: 20) { () -> String? in
            let dropping = try hub.object("/api/v1/queries/dropping")
            return (dropping["counters"] as? [String: Int])?["errors"] == 12
                ? dropping["lastDropped"] as? String : nil
        }
        #expect(dropped?.contains("cannot be cast") == true, "\(hub.text("/api/v1/queries/dropping"))")
        let errors = try poll(seconds: 20) { () -> String? in
            let rows = try hub.request("GET", "/api/v1/queries/diverting/results?output=_errors").text
            return rows.contains("\"sequence\":12") ? rows : nil
        }
        #expect(errors?.contains("\"place\":\"1:8\"") == true, "\(errors ?? "no row in _errors")")
        #expect(try hub.request("GET", "/api/v1/queries/dropping/results?output=_errors").text == "[]\n")
        try metrics(hub)
        // A text that says it otherwise goes on where the other one could not.
        let edited = try hub.request(
            "PUT", "/api/v1/queries/blocked?onError=retry",
            "SELECT TRY_CAST(text AS bigint) AS n INTO o FROM telemetry")
        #expect(edited.status == 200, "\(edited.text)")
        let rows = try poll(seconds: 20) { () -> Int? in
            let query = try hub.object("/api/v1/queries/blocked")
            return (query["counters"] as? [String: Int])?["rowsEmitted"] == 12 ? 12 : nil
        }
        #expect(rows == 12)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }

    @Test("a query reads the user properties that an MQTT 5 client sends, and those of a property bag")
    func userProperties() throws {
        let hub = try HubProcess(["--no-minute-query"])
        try put(
            hub, "sites",
            "SELECT v, GetMetadataPropertyValue(telemetry, '[User].[site]') AS site, "
                + "GetMetadataPropertyValue(telemetry, 'User') AS u, telemetry.IoTHub.CorrelationId AS c "
                + "INTO o FROM telemetry")
        let sent = try run(
            Programs.publisher,
            [
                "-h", "127.0.0.1", "-p", "\(hub.mqttPort)", "-V", "5", "-q", "1", "-t", "devices/p/telemetry",
                "-m",
                #"{"v":1}"#, "-D", "publish", "user-property", "site", "north", "-D", "publish",
                "user-property",
                "line", "4", "-D", "publish", "correlation-data", "c-1",
            ])
        #expect(sent.status == 0, "\(sent.error)")
        let bag = try run(
            Programs.publisher,
            [
                "-h", "127.0.0.1", "-p", "\(hub.mqttPort)", "-V", "311", "-q", "1", "-t",
                "devices/p/messages/events/site=south%20gate&$.cid=c-2", "-m", #"{"v":2}"#,
            ])
        #expect(bag.status == 0, "\(bag.error)")
        let rows = try poll(seconds: 20) { () -> String? in
            let text = try hub.request("GET", "/api/v1/queries/sites/results").text
            return text.contains("\"v\":2") ? text : nil
        }
        let text = try #require(rows, "\(hub.text("/api/v1/queries/sites"))")
        #expect(
            text.contains(#""v":1,"site":"north","u":{"site":"north","line":"4"},"c":"c-1""#), "\(text)")
        #expect(
            text.contains(#""v":2,"site":"south gate","u":{"site":"south gate"},"c":"c-2""#), "\(text)")
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }

    private func metrics(_ hub: HubProcess) throws {
        let text = String(decoding: try hub.get("/metrics"), as: UTF8.self)
        for line in [
            "headend_query_events_total{query=\"none\"} 12", "headend_query_rows_total{query=\"none\"} 0",
            "headend_query_early_events_total{query=\"ahead\"} 12",
            "headend_query_errors_total{query=\"diverting\"} 12",
            "headend_query_open_windows{query=\"window\"} 1",
            "headend_query_state{query=\"resting\",state=\"paused\"} 1",
            "headend_query_state{query=\"blocked\",state=\"blocked\"} 1",
            "# TYPE headend_query_backlog_bytes gauge",
        ] {
            #expect(text.contains(line + "\n"), "\(line)")
        }
    }

    @Test("results are read from the oldest or the newest, by page, also of a paused query and after a kill")
    func results() throws {
        let hub = try HubProcess(["--no-minute-query"])
        try put(
            hub, "all?file=hidden=false",
            "SELECT v INTO seen FROM telemetry SELECT v INTO hidden FROM telemetry")
        try put(
            hub, "counts?late=2s&outOfOrder=0",
            "SELECT System.Timestamp() AS windowEnd, COUNT(*) AS n INTO counts FROM telemetry TIMESTAMP BY ts "
                + "GROUP BY TumblingWindow(second, 1)")
        let now = epochMilliseconds() / 1_000 * 1_000
        try publish(hub, "a", (1...30).map { #"{"id":"\#($0)","ts":\#(now - 1_000 + $0 * 150),"v":\#($0)}"# })
        func page(_ path: String) throws -> (rows: [[String: Any]], next: String) {
            let socket = try hub.begin("GET", "/api/v1/queries/" + path)
            let text = String(decoding: socket.receiveUntilClosed(seconds: 20).bytes, as: UTF8.self)
            let blank = try #require(text.range(of: "\r\n\r\n"), "\(path): \(text)")
            let value = try JSONSerialization.jsonObject(with: Data(text[blank.upperBound...].utf8))
            let next = text[..<blank.lowerBound].split(separator: "\r\n").first {
                $0.lowercased().hasPrefix("headend-next: ")
            }
            return (try #require(value as? [[String: Any]], "\(text)"), String(next?.dropFirst(14) ?? ""))
        }
        let path = "all/results?output=seen"
        #expect(try poll(seconds: 20) { try page(path).rows.count == 30 ? true : nil } == true)
        #expect(try hub.request("POST", "/api/v1/queries/all/pause").status == 200)
        hub.kill()
        try hub.start()
        let first = try page(path + "&limit=10")
        let second = try page(path + "&limit=10&since=\(first.next)")
        #expect((first.rows + second.rows).compactMap { $0["v"] as? Int } == Array(1...20))
        let rid = try #require(second.rows.last?["_rid"] as? String)
        let third = try page(path + "&since=\(rid)")
        #expect(third.rows.compactMap { $0["v"] as? Int } == Array(21...30))
        #expect(try page(path + "&since=\(third.next)").rows.isEmpty)
        let newest = try page(path + "&order=newest&limit=3")
        #expect(newest.rows.compactMap { $0["v"] as? Int } == [30, 29, 28])
        #expect(newest.next == third.next)
        #expect(try page(path + "&order=newest&since=\(rid)").rows.count == 10)
        // Windows: the last is open until the clock is past it.
        let counts = try poll(seconds: 40) { () -> [[String: Any]]? in
            let rows = try page("counts/results").rows
            return rows.count >= 4 ? rows : nil
        }
        let ends = try #require(counts, "\(hub.text("/api/v1/queries/counts"))").compactMap {
            $0["windowEnd"] as? String
        }
        #expect(ends == ends.sorted())
        #expect(try page("counts/results?limit=2").next == ends[1])
        #expect(try page("counts/results?since=\(ends[1])").rows.first?["windowEnd"] as? String == ends[2])
        let last = try page("counts/results?order=newest&limit=1")
        #expect(last.rows.first?["windowEnd"] as? String ?? "" >= ends[3])
        for (path, text) in [
            ("all/results", "name one: seen, hidden, _late, _errors"),
            ("all/results?output=sen", "did you mean seen?"), ("all/results?output=hidden", "file: false"),
            (path + "&since=yesterday", "neither an ISO 8601 time"),
            (path + "&since=1", "is not where a row"),
            (path + "&since=2026-03-01T00:00:00Z", "are not found by time"),
            (path + "&since=" + String(repeating: "0", count: 32), "no row of seen has the _rid"),
            ("counts/results?since=12", "a file for each window"), (path + "&limit=0", "from 1 to 100000"),
            (path + "&order=up", "oldest or newest"), (path + "&sinc=1", "did you mean \\\"since\\\"?"),
        ] {
            let reply = try hub.request("GET", "/api/v1/queries/" + path)
            #expect((400...409).contains(reply.status) && reply.text.contains(text), "\(path): \(reply.text)")
        }
        let command = try run(
            Programs.headend,
            ["query", "results", "all", "--output", "seen", "--newest", "--limit", "2", "--http", hub.url])
        #expect(command.output.split(separator: "\n").count == 2)
        #expect(command.error.contains("next: --since \(third.next)"))
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }
}
