package import PerpetualQuery
import QueryLanguage
package import Telemetry

/// A query as its author wrote it: text, name, and what is the job's and not the text's.
package struct QueryDefinition: Sendable, Equatable {
    /// Where a query begins that has never run.
    package enum Start: Sendable, Equatable {
        case now
        case earliest
        case time(EventTime)
    }

    /// What becomes of a row that cannot be computed, or is too large to be put out.
    package enum OnError: String, Sendable, CaseIterable {
        /// The row goes to `_errors`, counted, and the query goes on.
        case divert
        /// The row is left out, counted and shown, and the query goes on.
        case drop
        /// The query stops, with the event shown, until it is resumed or edited.
        case stop
        /// The query stays before the event, which is shown, and tries again until it is edited.
        case retry
    }

    /// Where the rows of one output go, beside the default.
    package struct Output: Sendable, Equatable {
        package var name: String
        package var isFile = true
        /// A template such as `alerts/{device}`; nil for `headend/{query}/{output}`, empty for no topic.
        package var topic: String?
        package var isRetained = false
        /// Its rows are forwarded to the hub's downstream too, under the same topic.
        package var isDownstream = false

        package init(name: String) { self.name = name }
    }

    /// Letters, digits, `-` and `_`, a letter first, at most 64: a directory, and a level of a topic.
    package var name: String
    package var text: String
    /// Part of result ids: raised when the query begins anew with another meaning.
    package var version = 1
    package var timePolicy: TimePolicy
    /// Fields that name a device: time is then that of the device furthest behind. Empty: it is not.
    package var watermarkOver = ""
    /// How long a device may be silent until it is not waited for, in ticks; nil: the default of that.
    package var idleAfterTicks: Int64?
    package var onError = OnError.divert
    package var start = Start.now
    package var outputs: [Output] = []
    package var isPaused = false
    /// The hub's start keeps or makes it, as the configuration says; else it came at run time.
    package var isConfigured = false
    /// What the configuration said, as JSON, when this one was edited while the hub ran; nil when the two agree.
    var overridden: String?
    /// It was told to begin anew, and what it had is not aside yet: a start goes on there.
    var beginsAnew = false
    /// Where it began, once that was decided.
    var startOffset: UInt64?
    /// Rows at or before this time are left out: their windows began before the start.
    var rowsAfter: EventTime?

    /// Azure's defaults for time: early 5 minutes, late 5 s, out of order 0 s, adjust.
    package init(name: String, text: String) {
        self.name = name
        self.text = text
        timePolicy = StreamSettings().timePolicy
    }

    /// The query that ships with the product.
    static let minute: QueryDefinition = {
        var definition = QueryDefinition(name: DefaultQuery.name, text: DefaultQuery.text)
        definition.timePolicy = DefaultQuery.settings.timePolicy
        definition.start = .earliest
        definition.startOffset = 0
        definition.isConfigured = true
        var output = Output(name: "minute")
        output.topic = "headend/minute/{device}/{field}"
        output.isRetained = true
        definition.outputs = [output]
        return definition
    }()

    var isDefault: Bool { name == DefaultQuery.name }

    /// Outputs whose rows are forwarded; of the default query all are, whatever stands here.
    var downstreamOutputs: [String] { outputs.filter(\.isDownstream).map(\.name) }

    var settings: StreamSettings {
        var settings = StreamSettings()
        settings.timePolicy = timePolicy
        settings.minimumWatermark = minimumWatermark
        settings.errorPolicy =
            switch onError {
            case .divert: .divert
            case .drop: .drop
            case .stop, .retry: .stop
            }
        return settings
    }

    /// Whether it was edited while the hub ran, and the configuration still says what it said then.
    func overrides(_ configured: QueryDefinition) -> Bool {
        overridden.flatMap { QueryDefinition(json: Array($0.utf8)) }?.isSame(configured) ?? false
    }

    /// nil: there is none, or `set` refused it.
    private var minimumWatermark: MinimumWatermark? {
        if watermarkOver.isEmpty { return nil }
        return try? MinimumWatermark(fields: watermarkOver, idleTicks: idleAfterTicks)
    }

    /// Whether the two say the same, wherever they stand.
    func isSame(_ other: QueryDefinition) -> Bool {
        text == other.text && timePolicy == other.timePolicy && onError == other.onError
            && settings.minimumWatermark == other.settings.minimumWatermark
            && outputs.sorted { $0.name < $1.name } == other.outputs.sorted { $0.name < $1.name }
    }
}

/// Why something asked of a query is not done; each one line or more that says what and where.
package struct QueryRequestError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Kind: Sendable {
        /// The request is wrong. (Caller.)
        case invalid
        case unknown
        /// It would lose something: ask for that, or for something else. (Caller.)
        case conflict
        /// The disk, or the hub stops. (Operator, retry.)
        case unavailable
    }
    package var kind: Kind
    package var description: String

    package init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }

    /// No query has that name.
    init(unknown name: String, of known: [String]) {
        let hint = Suggestion.nearest(to: name, in: known).map { "; did you mean \($0)?" } ?? ""
        let names =
            known.isEmpty
            ? "; there are none yet (headend query add FILE)"
            : "; there are: \(known.joined(separator: ", "))"
        self.init(.unknown, "no query \"\(name)\"\(names)\(hint)")
    }
}

extension QueryDefinition {
    /// Plans the text and checks name and outputs.
    ///
    /// - Parameter references: the inputs of reference data.
    /// - Throws: `.invalid` with the place in the text, what was expected and a hint.
    package func plan(references: [String]) throws(QueryRequestError) -> StreamPlan {
        let isName = !name.isEmpty && name.utf8.count <= 64 && name.utf8.allSatisfy(Self.isNameByte)
        guard isName, name.first?.isLetter == true else {
            throw QueryRequestError(
                .invalid, "\"\(name)\" is no name of a query: letters, digits, - and _, a letter first")
        }
        guard idleAfterTicks == nil || !watermarkOver.isEmpty else {
            throw QueryRequestError(
                .invalid,
                "\(name): idleAfter says how long watermarkOver waits for a silent device: name the devices too, "
                    + "such as watermarkOver: deviceId")
        }
        let (plan, errors) = QueryPlanner.plan(
            text: text, name: name, version: version, settings: settings, referenceInputs: references,
            streamInputs: [Self.stream])
        guard let plan else {
            throw QueryRequestError(
                .invalid,
                errors.map { $0.render(source: text, name: name + ".sql") }.joined(separator: "\n"))
        }
        guard plan.inputs.count == 1 else {
            throw QueryRequestError(
                .invalid, "\(name): reads no stream; the hub has one: write FROM \(Self.stream)")
        }
        for output in outputs where !plan.outputs.contains(output.name) {
            let hint = Suggestion.nearest(to: output.name, in: plan.outputs).map { "; did you mean \($0)?" }
            throw QueryRequestError(
                .invalid,
                "\(name): the query has no output \(output.name): it has "
                    + plan.outputs.joined(separator: ", ") + (hint ?? ""))
        }
        if let reserved = plan.outputs.first(where: { $0.hasPrefix("_") || $0.contains("/") }) {
            throw QueryRequestError(
                .invalid, "\(name): INTO \(reserved): names that begin with _ are the system's, and / is none"
            )
        }
        return plan
    }

    /// The name of what devices send.
    package static let stream = "telemetry"

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x5F: true
        default: false
        }
    }
}
