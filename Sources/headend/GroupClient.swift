import ArgumentParser
import Foundation
import Telemetry

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// The hub that group commands speak to.
struct GroupHubOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("The running hub.", valueName: "url"))
    var http = "http://127.0.0.1:8080"

    func client() throws -> GroupClient {
        guard let url = URL(string: http), url.scheme == "http" || url.scheme == "https", url.host != nil
        else {
            throw Failure.input("--http \(http): not an http:// address")
        }
        return GroupClient(base: url)
    }
}

/// `/api/v1/groups` of a running hub.
struct GroupClient: Sendable {
    let base: URL

    /// A group as status shows it.
    struct Group: Decodable {
        struct Member: Decodable {
            var member: String
            var inFlight: Int
            var leaseSeconds: Double
        }
        /// One text or several.
        enum Devices: Decodable, CustomStringConvertible {
            case one(String)
            case several([String])

            init(from decoder: any Decoder) throws {
                let container = try decoder.singleValueContainer()
                if let text = try? container.decode(String.self) {
                    self = .one(text)
                } else {
                    self = .several(try container.decode([String].self))
                }
            }

            var description: String {
                switch self {
                case .one(let text): text
                case .several(let names): names.joined(separator: ",")
                }
            }
        }

        var name: String
        var devices: Devices?
        var from: String?
        var mustNotMiss: Bool?
        var lagRecords: Int?
        var lagSeconds: Double?
        var inFlight: Int?
        var missed: Int?
        var lastCommit: String?
        var members: [Member]?
        var failure: String?
    }

    /// The records of one answer.
    struct Batch {
        private struct Head: Decodable {
            var session: String
            var commit: String?
        }

        var session: String
        /// nil: there was nothing.
        var commit: String?
        /// One JSON object each, as the hub wrote it.
        var records: [[UInt8]]

        /// The hub writes one record a line, so that no number is rounded on the way.
        init(_ data: Data) throws {
            let lines = data.split(separator: 0x0A)
            guard let first = lines.first else { throw Failure.input("the hub sent an empty answer") }
            let closing = lines.count == 1 ? "" : "]}"
            let head = try JSONDecoder().decode(Head.self, from: Data(first) + Data(closing.utf8))
            session = head.session
            commit = head.commit
            records = lines.dropFirst().map { line in
                var object = Array(line)
                if object.last == 0x2C { object.removeLast() }
                if object.suffix(2) == [0x5D, 0x7D] { object.removeLast(2) }
                return object
            }
        }
    }

    func list() async throws -> Data { try await send("GET", "") }

    func show(_ name: String) async throws -> Data { try await send("GET", name) }

    /// As `show`; nil when there is no such group.
    func find(_ name: String) async throws -> Data? {
        do { return try await send("GET", name, isLookup: true) } catch is NotFound { return nil }
    }

    private struct NotFound: Error {}

    func create(
        _ name: String, devices: String?, from: String?, mustNotMiss: Bool
    ) async throws -> Data {
        var columns: [Column] = []
        if let devices { columns.append(Column("devices", Self.filter(devices))) }
        if let from { columns.append(Column("from", .text(from))) }
        if mustNotMiss { columns.append(Column("mustNotMiss", .boolean(true))) }
        return try await send("PUT", name, body: columns)
    }

    /// `a,b` are two names; anything else is one text: a name, a pattern, or `*`.
    private static func filter(_ text: String) -> Value {
        text.contains(",")
            ? .array(text.split(separator: ",", omittingEmptySubsequences: false).map { .text(String($0)) })
            : .text(text)
    }

    func seek(_ name: String, to place: String) async throws -> Data {
        try await send("POST", name + "/seek", body: [Column("to", .text(place))])
    }

    func delete(_ name: String) async throws { _ = try await send("DELETE", name) }

    func fetch(
        _ name: String, member: String, session: String?, max: Int, waitSeconds: Int
    ) async throws -> Batch {
        var query = [("member", member), ("max", String(max)), ("wait", "\(waitSeconds)s")]
        if let session { query.append(("session", session)) }
        return try Batch(
            try await send("POST", name + "/fetch", query, timeoutSeconds: Double(waitSeconds) + 30))
    }

    func commit(_ name: String, member: String, token: String) async throws {
        _ = try await send(
            "POST", name + "/commit",
            body: [Column("member", .text(member)), Column("commit", .text(token))])
    }

    func leave(_ name: String, member: String) async throws {
        let encoded = member.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? member
        _ = try await send("DELETE", name + "/members/" + encoded)
    }

    private struct Refusal: Decodable {
        struct Explanation: Decodable { var message: String }
        var error: Explanation
    }

    private func send(
        _ method: String, _ path: String, _ query: [(String, String)] = [], body: [Column]? = nil,
        timeoutSeconds: Double = 30, isLookup: Bool = false
    ) async throws -> Data {
        let whole = base.absoluteString + (base.absoluteString.hasSuffix("/") ? "" : "/")
        let address = whole + "api/v1/groups" + (path.isEmpty ? "" : "/" + path)
        guard var parts = URLComponents(string: address) else {
            throw Failure.input("\"\(path)\" is not a group's name: use letters, digits, - _ and .")
        }
        if !query.isEmpty { parts.queryItems = query.map { URLQueryItem(name: $0.0, value: $0.1) } }
        guard let url = parts.url else { throw Failure.input("\(address): not an address") }
        var request = URLRequest(url: url, timeoutInterval: timeoutSeconds)
        request.httpMethod = method
        if let body {
            var bytes: [UInt8] = []
            Column.appendJSON(body, to: &bytes)
            request.httpBody = Data(bytes)
        }
        let data: Data
        let response: URLResponse
        do {
            (data, response) = try await URLSession.shared.data(for: request)
        } catch {
            if Task.isCancelled { throw CancellationError() }
            throw Failure(
                status: .environment, message: "no hub answers at \(base): \(error.localizedDescription)")
        }
        let status = (response as? HTTPURLResponse)?.statusCode ?? 0
        if status == 404, isLookup { throw NotFound() }
        guard (200..<300).contains(status) else {
            let text =
                (try? JSONDecoder().decode(Refusal.self, from: data))?.error.message
                ?? String(decoding: data, as: UTF8.self)
            throw Failure(status: status >= 500 ? .environment : .usage, message: text)
        }
        return data
    }
}
