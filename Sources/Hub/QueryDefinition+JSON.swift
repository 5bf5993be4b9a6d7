import PerpetualQuery
import QueryLanguage
import Telemetry

// A definition as JSON: on disk, in answers, and its parts as text in requests and configurations.
extension QueryDefinition {
    var value: Value {
        var columns = [
            Column("name", .text(name)), Column("sql", .text(text)),
            Column("version", .bigint(Int64(version))),
            Column("late", .text(Self.text(timePolicy.lateToleranceTicks))),
            Column("outOfOrder", .text(Self.text(timePolicy.outOfOrderToleranceTicks))),
            Column("early", .text(Self.text(timePolicy.earlyToleranceTicks))),
            Column("action", .text("\(timePolicy.lateAction)")),
            Column("watermarkOver", watermarkOver.isEmpty ? .null : .text(watermarkOver)),
            Column("idleAfter", settings.minimumWatermark.map { .text(Self.text($0.idleTicks)) } ?? .null),
            Column("onError", .text(onError.rawValue)),
            Column("errorPolicies", .array(OnError.allCases.map { .text($0.rawValue) })),
            Column("startAt", .text(startText)), Column("paused", .boolean(isPaused)),
            Column("configured", .boolean(isConfigured)),
            Column(
                "outputs",
                .array(
                    outputs.map {
                        .record([
                            Column("name", .text($0.name)), Column("file", .boolean($0.isFile)),
                            Column("topic", $0.topic.map { .text($0) } ?? .null),
                            Column("retain", .boolean($0.isRetained)),
                            Column("downstream", .boolean($0.isDownstream)),
                        ])
                    })),
        ]
        if let startOffset { columns.append(Column("startOffset", .bigint(Int64(startOffset)))) }
        if beginsAnew { columns.append(Column("beginsAnew", .boolean(true))) }
        if let overridden { columns.append(Column("overridden", .text(overridden))) }
        if let rowsAfter { columns.append(Column("rowsAfter", .time(rowsAfter))) }
        return .record(columns)
    }

    var json: String {
        var bytes: [UInt8] = []
        value.appendJSON(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    var startText: String {
        switch start {
        case .now: "now"
        case .earliest: "earliest"
        case .time(let time): time.description
        }
    }

    /// Reads what `value` gave; nil for anything else.
    init?(json: [UInt8]) {
        let columns = json.withUnsafeBytes { JSONValue.columns(of: $0) }
        func text(_ name: String) -> String? {
            guard case .text(let text)? = columns.first(where: { $0.name == name })?.value else { return nil }
            return text
        }
        guard let name = text("name"), let sql = text("sql") else { return nil }
        self.init(name: name, text: sql)
        for column in columns {
            switch (column.name, column.value) {
            case ("version", .bigint(let version)): self.version = Int(version)
            case ("paused", .boolean(let flag)): isPaused = flag
            case ("configured", .boolean(let flag)): isConfigured = flag
            case ("overridden", .text(let text)): overridden = text
            case ("beginsAnew", .boolean(let flag)): beginsAnew = flag
            case ("startOffset", .bigint(let offset)): startOffset = UInt64(max(offset, 0))
            case ("rowsAfter", .text(let time)): rowsAfter = EventTime.parse(time)
            case ("late", .text(let text)), ("outOfOrder", .text(let text)), ("early", .text(let text)),
                ("action", .text(let text)), ("startAt", .text(let text)),
                ("watermarkOver", .text(let text)), ("idleAfter", .text(let text)):
                guard (try? set(column.name, text)) != nil else { return nil }
            case ("onError", .text(let text)):
                // Until `divert` had its own name, `drop` stood for it.
                let isOld = !columns.contains { $0.name == "errorPolicies" }
                let policy = isOld && text == "drop" ? OnError.divert : OnError(rawValue: text)
                guard let policy else { return nil }
                onError = policy
            case ("outputs", .array(let values)): outputs = values.compactMap(Self.output)
            default: break
            }
        }
    }

    private static func output(_ value: Value) -> Output? {
        guard case .record(let columns) = value else { return nil }
        var output = Output(name: "")
        for column in columns {
            switch (column.name, column.value) {
            case ("name", .text(let name)): output.name = name
            case ("file", .boolean(let flag)): output.isFile = flag
            case ("topic", .text(let topic)): output.topic = topic
            case ("retain", .boolean(let flag)): output.isRetained = flag
            case ("downstream", .boolean(let flag)): output.isDownstream = flag
            default: break
            }
        }
        return output
    }

    // MARK: Settings as text

    package static let settingNames = [
        "late", "outOfOrder", "early", "action", "watermarkOver", "idleAfter", "onError", "startAt",
    ]

    /// Sets one of `settingNames`.
    ///
    /// - Throws: `.invalid` with what the setting may be.
    package mutating func set(_ setting: String, _ text: String) throws(QueryRequestError) {
        func fail(_ expected: String, _ words: [String] = []) -> QueryRequestError {
            let hint = Suggestion.nearest(to: text, in: words).map { "; did you mean \($0)?" } ?? ""
            return QueryRequestError(.invalid, "\(setting): \"\(text)\" is not \(expected)\(hint)")
        }
        let isUnlimited = text == "unlimited" && setting != "outOfOrder"
        switch setting {
        case "late", "outOfOrder", "early", "idleAfter":
            guard let ticks = isUnlimited ? TimePolicy.unlimited : Self.ticks(text) else {
                throw fail(
                    "a time such as 500ms, 30s, 5m or 1h" + (setting == "outOfOrder" ? "" : ", or unlimited"))
            }
            switch setting {
            case "late": timePolicy.lateToleranceTicks = ticks
            case "early": timePolicy.earlyToleranceTicks = ticks
            case "idleAfter": idleAfterTicks = ticks
            default: timePolicy.outOfOrderToleranceTicks = ticks
            }
        case "action":
            switch text {
            case "adjust": timePolicy.lateAction = .adjust
            case "drop": timePolicy.lateAction = .drop
            case "divert": timePolicy.lateAction = .divert
            default: throw fail("adjust, drop or divert", ["adjust", "drop", "divert"])
            }
        case "watermarkOver":
            do throws(QueryError) {
                if !text.isEmpty { watermarkOver = try MinimumWatermark(fields: text, idleTicks: nil).text }
            } catch {
                throw QueryRequestError(.invalid, error.render(source: text, name: setting))
            }
        case "onError":
            guard let policy = OnError(rawValue: text) else {
                throw fail("divert, drop, stop or retry", OnError.allCases.map(\.rawValue))
            }
            onError = policy
        case "startAt":
            if text == "now" {
                start = .now
            } else if text == "earliest" {
                start = .earliest
            } else {
                guard let time = EventTime.parse(text) else {
                    throw fail("now, earliest or an ISO 8601 time")
                }
                start = .time(time)
            }
        default: throw QueryRequestError(.invalid, "\(setting): not a setting of a query")
        }
    }

    /// `OUTPUT=TEMPLATE`: the topic of an output's rows; a template with places is retained, `OUTPUT=` has none.
    package mutating func setTopic(_ text: String) throws(QueryRequestError) {
        guard let equals = text.firstIndex(of: "=") else {
            throw QueryRequestError(
                .invalid, "topic: \"\(text)\" is not OUTPUT=TEMPLATE, such as alerts=plant/{device}/alert")
        }
        let name = String(text[..<equals])
        let topic = String(text[text.index(after: equals)...])
        var output = outputs.first { $0.name == name } ?? Output(name: name)
        output.topic = topic
        output.isRetained = topic.contains("{")
        outputs.removeAll { $0.name == name }
        outputs.append(output)
    }

    /// Settings of an output that are on or off.
    package static let flagNames = ["retain", "file", "downstream"]

    /// Sets one of `flagNames` with `OUTPUT=true` or `OUTPUT=false`: whether its rows go to files, are retained on
    /// their topics, or are forwarded to the hub's downstream.
    ///
    /// - Throws: `.invalid` with what it may be.
    package mutating func setFlag(_ setting: String, _ text: String) throws(QueryRequestError) {
        guard let equals = text.firstIndex(of: "="),
            let flag = Bool(String(text[text.index(after: equals)...]))
        else {
            throw QueryRequestError(
                .invalid, "\(setting): \"\(text)\" is not OUTPUT=true or OUTPUT=false, such as alerts=false")
        }
        let name = String(text[..<equals])
        var output = outputs.first { $0.name == name } ?? Output(name: name)
        switch setting {
        case "file": output.isFile = flag
        case "downstream": output.isDownstream = flag
        default: output.isRetained = flag
        }
        outputs.removeAll { $0.name == name }
        outputs.append(output)
    }

    private static let units: [(String, Int64)] = [
        ("ms", 10_000), ("s", 10_000_000), ("m", 600_000_000), ("h", 36_000_000_000), ("d", 864_000_000_000),
    ]

    private static func ticks(_ text: String) -> Int64? {
        if text == "0" { return 0 }
        for (unit, scale) in units where text.hasSuffix(unit) {
            guard let number = Int64(text.dropLast(unit.utf8.count)), number >= 0 else { continue }
            let (ticks, isOver) = number.multipliedReportingOverflow(by: scale)
            return isOver ? nil : ticks
        }
        return nil
    }

    private static func text(_ ticks: Int64) -> String {
        if ticks == TimePolicy.unlimited { return "unlimited" }
        let unit = units.last { ticks >= $0.1 && ticks % $0.1 == 0 } ?? ("ms", 10_000)
        return String(ticks / unit.1) + unit.0
    }
}
