import ArgumentParser
import DeviceQueue
import Foundation
import Hub
import Platform
import Telemetry

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// Where data commands read from: the folder of a stopped hub or the HTTP interface of a running one.
struct SourceOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("The data directory of a stopped hub.", valueName: "dir"))
    var data: String?

    @Option(
        name: .long, help: ArgumentHelp("A running hub, for example http://127.0.0.1:8080.", valueName: "url")
    )
    var http: String?

    func validate() throws {
        if data != nil, http != nil { throw ValidationError("give --data or --http, not both") }
    }

    /// - Parameter asksForIDs: records are looked up by their message ids.
    func open(asksForIDs: Bool = false) throws -> any RecordSource {
        if let http {
            guard let url = URL(string: http), url.scheme == "http" || url.scheme == "https", url.host != nil
            else {
                throw Failure.input("--http \(http): not an http:// address")
            }
            return RunningHub(base: url)
        }
        return try StoppedHub(path: data ?? "headend-data", asksForIDs: asksForIDs)
    }
}

/// What data commands need to know of a hub.
protocol RecordSource {
    func devices(after: String, limit: Int) async throws -> [DeviceLine]
    /// Records of a device as JSON objects, ascending from a sequence.
    func records(device: String, from: UInt64, limit: Int) async throws -> [[UInt8]]
    /// Everything that was ever set aside.
    func quarantined(from: UInt64, limit: Int) async throws -> [[UInt8]]
    /// What waits in the quarantine.
    func quarantined(_ page: QuarantinePage) async throws -> [[UInt8]]
    func close()
}

struct DeviceLine: Codable {
    var id: String
    /// The last sequence.
    var records: UInt64
    /// The first sequence that retention left.
    var firstSequence: UInt64
    var lastArrivalTime: String?

    func json() -> String {
        var bytes: [UInt8] = []
        Column.appendJSON(
            [
                Column("id", .text(id)), Column("records", .bigint(Int64(records))),
                Column("firstSequence", .bigint(Int64(firstSequence))),
                Column("lastArrivalTime", lastArrivalTime.map { .text($0) } ?? .null),
            ], to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// A data directory that no hub has open.
final class StoppedHub: RecordSource {
    let queue: DeviceQueue
    private let directory: DataDirectory

    init(path: String, asksForIDs: Bool = false) throws {
        let files = PosixFileStore()
        do {
            directory = try DataDirectory.open(path, files: files, createIfMissing: false)
        } catch {
            throw Failure(
                status: .environment,
                message: String(describing: error)
                    + (String(describing: error).contains("--http")
                        ? "" : " (for a running hub use --http URL)"))
        }
        do {
            queue = try DeviceQueue.open(
                directory: path + "/queue/0", files: files, limits: QueueLimits(), mode: .readOnly,
                keepsIDs: asksForIDs, nowTicks: SystemClock().wallTicks())
        } catch {
            directory.close()
            throw Failure.environment(error)
        }
    }

    func devices(after: String, limit: Int) -> [DeviceLine] {
        queue.deviceSummaries(after: DeviceID(after), limit: limit).map {
            DeviceLine(
                id: $0.id.text, records: $0.lastSequence, firstSequence: $0.firstSequence,
                lastArrivalTime: $0.lastArrivalTime?.description)
        }
    }

    func records(device: String, from: UInt64, limit: Int) throws -> [[UInt8]] {
        guard queue.deviceSummary(DeviceID(device)) != nil else {
            throw Failure.input("no device \"\(device)\" has sent anything")
        }
        do {
            return try queue.records(device: DeviceID(device), from: from, limit: limit).map(RecordJSON.bytes)
        } catch {
            throw Failure.environment(error)
        }
    }

    func quarantined(from: UInt64, limit: Int) throws -> [[UInt8]] {
        do {
            return try queue.quarantined(from: from, limit: limit).map(RecordJSON.bytes)
        } catch {
            throw Failure.environment(error)
        }
    }

    func quarantined(_ page: QuarantinePage) throws -> [[UInt8]] {
        do {
            return try page.objects(queue)
        } catch {
            throw Failure.environment(error)
        }
    }

    func close() {
        directory.close()
    }
}

/// A hub that answers on HTTP.
struct RunningHub: RecordSource {
    let base: URL

    func devices(after: String, limit: Int) async throws -> [DeviceLine] {
        try JSONDecoder().decode(
            [DeviceLine].self,
            from: try await get("api/v1/devices", [("after", after), ("limit", String(limit))]))
    }

    func records(device: String, from: UInt64, limit: Int) async throws -> [[UInt8]] {
        let data = try await get(
            "api/v1/devices/\(device)/records", [("from", String(from)), ("limit", String(limit))])
        return Self.objects(data)
    }

    func quarantined(from: UInt64, limit: Int) async throws -> [[UInt8]] {
        Self.objects(
            try await get(
                "api/v1/quarantine", [("state", "all"), ("from", String(from)), ("limit", String(limit))]))
    }

    func quarantined(_ page: QuarantinePage) async throws -> [[UInt8]] {
        var query = [
            ("from", String(page.from)), ("limit", String(page.limit)), ("kept", String(page.withKept)),
        ]
        if let reason = page.reason { query.append(("reason", reason.description)) }
        if let device = page.device { query.append(("device", device)) }
        return Self.objects(try await get("api/v1/quarantine", query))
    }

    func close() {}

    /// The sequence behind a record, to go on reading at.
    static func next(after record: [UInt8]) throws -> UInt64 {
        struct Place: Decodable { var sequence: UInt64 }
        return try JSONDecoder().decode(Place.self, from: Data(record)).sequence + 1
    }

    /// The hub writes one object a line inside the array's brackets, so that no number is rounded on the way.
    static func objects(_ data: Data) -> [[UInt8]] {
        var text = Array(data)
        while text.last == 0x0A { text.removeLast() }
        guard text.count > 2 else { return [] }
        return text.dropFirst().dropLast().split(separator: 0x0A).map { line in
            var object = Array(line)
            if object.last == 0x2C { object.removeLast() }
            return object
        }
    }

    func get(_ path: String, _ query: [(String, String)] = []) async throws -> Data {
        try await send("GET", path, query)
    }

    func post(_ path: String, _ query: [(String, String)] = []) async throws -> Data {
        try await send("POST", path, query)
    }

    private func send(_ method: String, _ path: String, _ query: [(String, String)]) async throws -> Data {
        guard
            var parts = URLComponents(url: base.appendingPathComponent(path), resolvingAgainstBaseURL: false)
        else {
            throw Failure.input("\(base): not an address")
        }
        if !query.isEmpty { parts.queryItems = query.map { URLQueryItem(name: $0.0, value: $0.1) } }
        guard let url = parts.url else { throw Failure.input("\(base): not an address") }
        let data: Data
        let response: URLResponse
        do {
            var request = URLRequest(url: url, timeoutInterval: 30)
            request.httpMethod = method
            (data, response) = try await URLSession.shared.data(for: request)
        } catch {
            throw Failure(
                status: .environment, message: "no hub answers at \(base): \(error.localizedDescription)")
        }
        guard let http = response as? HTTPURLResponse, http.statusCode == 200 else {
            let text = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            throw Failure.input("\(url.path): \(text)")
        }
        return data
    }
}
