import Glibc
import Platform
import Synchronization

/// Turns host names into addresses off the loop's thread, because a slow name server would stall every client
/// of the loop. Numeric addresses are answered at once. Confined to its loop.
final class HostResolver {
    enum Answer: Sendable {
        /// A numeric address.
        case address(String)
        /// The resolver's code (`EAI_…`).
        case failure(Int32)
    }

    /// An answer is reused this long: a fleet of thousands asks for one name.
    private static let reuseNanoseconds: UInt64 = 5_000_000_000
    /// Names remembered; a hub knows a handful.
    private static let namesMax = 1_000

    private unowned let loop: MosquittoLoop
    private var known: [String: (address: String, until: UInt64)] = [:]
    private var waiting: [String: [(Answer) -> Void]] = [:]

    init(loop: MosquittoLoop) { self.loop = loop }

    /// Calls back on the loop's thread, at once when the answer is known.
    func resolve(_ host: String, _ completion: @escaping (Answer) -> Void) {
        if Self.isNumeric(host) { return completion(.address(host)) }
        if let entry = known[host], entry.until > loop.now { return completion(.address(entry.address)) }
        waiting[host, default: []].append(completion)
        guard waiting[host]?.count == 1 else { return }
        let loop = loop
        // One thread a lookup under way; it ends with its answer, and nobody waits for it at stop.
        _ = NamedThread("mqtt-resolver") {
            let answer = Self.lookUp(host)
            loop.perform { loop.resolver.finish(host, answer) }
        }
    }

    private func finish(_ host: String, _ answer: Answer) {
        if case .address(let address) = answer {
            if known.count >= Self.namesMax { known = [:] }
            known[host] = (address, loop.now &+ Self.reuseNanoseconds)
        }
        for completion in waiting.removeValue(forKey: host) ?? [] { completion(answer) }
    }

    static func isNumeric(_ host: String) -> Bool {
        var address = in6_addr()
        return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1
    }

    private static func lookUp(_ host: String) -> Answer {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, nil, &hints, &list)
        guard code == 0, let first = list else { return .failure(code == 0 ? EAI_NONAME : code) }
        defer { freeaddrinfo(list) }
        // IPv4 first when both are there: a listener on 127.0.0.1 is what `localhost` most often means.
        var chosen = first
        var next: UnsafeMutablePointer<addrinfo>? = first
        while let entry = next {
            if entry.pointee.ai_family == AF_INET {
                chosen = entry
                break
            }
            next = entry.pointee.ai_next
        }
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let named = getnameinfo(
            chosen.pointee.ai_addr, chosen.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0,
            NI_NUMERICHOST)
        guard named == 0 else { return .failure(named) }
        return .address(
            String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }
}
