import Foundation
import Telemetry

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// `/api/v1/queries` of a running hub, or what is asked for in the same way.
struct QueryClient: Sendable {
    let base: URL
    var resource = "queries"

    /// A query as status shows it.
    struct Query: Decodable {
        struct Counters: Decodable {
            var events: Int
            var late: Int
            var early: Int
            var outOfOrder: Int
            var rowsEmitted: Int
            var openWindows: Int
            var waitingRows: Int
            var joinedRows: Int
            var errors: Int
        }
        struct Sink: Decodable {
            var name: String
            var offered: Int
            var delivered: Int
            var outbox: Int
            var failure: String?
        }
        struct Definition: Decodable {
            var sql: String
            var version: Int
            var late: String
            var outOfOrder: String
            var early: String
            var action: String
            var watermarkOver: String?
            var idleAfter: String?
            var onError: String
            var startAt: String
            /// What the configuration says, where the query was edited since.
            var overridden: String?
        }

        var name: String
        var state: String
        var failure: String?
        var why: String
        var backlogBytes: Int
        var watermark: String?
        var watermarkDelaySeconds: Double?
        var stateBytes: Int
        var counters: Counters
        var recentErrors: [String]
        var lastDropped: String?
        var sinks: [Sink]
        var definition: Definition
    }

    struct Effect: Decodable { var effect: String }

    private struct Refusal: Decodable {
        struct Explanation: Decodable { var message: String }
        var error: Explanation
    }

    func list() async throws -> Data { try await send("GET", "") }
    func show(_ name: String) async throws -> Data { try await send("GET", Self.segment(name)) }

    func find(_ name: String) async throws -> Bool {
        let queries = try JSONDecoder().decode([Query].self, from: try await list())
        return queries.contains { $0.name == name }
    }

    func put(_ name: String, _ text: String, _ settings: [(String, String)]) async throws -> Effect {
        let data = try await send("PUT", Self.segment(name), settings, body: text)
        return try JSONDecoder().decode(Effect.self, from: data)
    }

    func check(_ name: String, _ text: String, _ settings: [(String, String)]) async throws -> Effect {
        let data = try await send("POST", Self.segment(name) + "/check", settings, body: text)
        return try JSONDecoder().decode(Effect.self, from: data)
    }

    @discardableResult
    func post(_ name: String, _ action: String) async throws -> Data {
        try await send("POST", Self.segment(name) + "/" + action)
    }

    func delete(_ name: String) async throws { _ = try await send("DELETE", Self.segment(name)) }

    /// The rows of an output, one JSON object each, and what `since` is for those behind them.
    func results(_ name: String, _ query: [(String, String)]) async throws -> (rows: Data, next: String?) {
        let (data, response) = try await exchange("GET", Self.segment(name) + "/results", query)
        return (data, response?.value(forHTTPHeaderField: "Headend-Next"))
    }

    /// A name as one part of a path, whatever it is: the hub says what is wrong with it.
    private static func segment(_ name: String) -> String {
        let allowed = CharacterSet.alphanumerics.union(CharacterSet(charactersIn: "-_"))
        return name.addingPercentEncoding(withAllowedCharacters: allowed) ?? name
    }

    private func send(
        _ method: String, _ path: String, _ query: [(String, String)] = [], body: String? = nil
    ) async throws -> Data {
        try await exchange(method, path, query, body: body).0
    }

    private func exchange(
        _ method: String, _ path: String, _ query: [(String, String)] = [], body: String? = nil
    ) async throws -> (Data, HTTPURLResponse?) {
        let whole = base.absoluteString + (base.absoluteString.hasSuffix("/") ? "" : "/")
        guard
            var parts = URLComponents(string: whole + "api/v1/\(resource)" + (path.isEmpty ? "" : "/" + path))
        else { throw Failure.input("\"\(path)\" is not a name: letters, digits, - and _") }
        if !query.isEmpty {
            // A plus sign would be read as a blank.
            parts.percentEncodedQuery = query.map { name, value in
                let text = value.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? value
                return "\(name)=\(text)"
            }.joined(separator: "&")
        }
        guard let url = parts.url else { throw Failure.input("\(whole): not an address") }
        var request = URLRequest(url: url, timeoutInterval: 30)
        request.httpMethod = method
        if let body { request.httpBody = Data(body.utf8) }
        let data: Data
        let response: URLResponse
        do {
            (data, response) = try await URLSession.shared.data(for: request)
        } catch {
            throw Failure(
                status: .environment, message: "no hub answers at \(base): \(error.localizedDescription)")
        }
        let status = (response as? HTTPURLResponse)?.statusCode ?? 0
        guard (200..<300).contains(status) else {
            let text =
                (try? JSONDecoder().decode(Refusal.self, from: data))?.error.message
                ?? String(decoding: data, as: UTF8.self)
            throw Failure(
                status: status >= 500 ? .environment : status == 409 ? .failed : .usage, message: text)
        }
        return (data, response as? HTTPURLResponse)
    }
}
