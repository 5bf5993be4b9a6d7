import CChecksum
package import Platform

/// What a bridge remembers over a restart, in one small file that is replaced atomically: how far the buffer is
/// forwarded, and what it is subscribed to on either side, so that a rule that is taken out of the configuration
/// ends its subscription, which brokers keep.
///
/// The cursor may be behind what the other broker has, never ahead. The layout is a table in
/// Bridge.docc/BufferFormat.md.
package struct BridgeState: Sendable, Equatable {
    package var cursor: UInt64 = 0
    /// Filters with their QoS, as `1 a/#`, in the order of the rules.
    package var remoteFilters: [String] = []
    package var localFilters: [String] = []

    package init() {}

    private static let magic = Array("HEDBRSTA".utf8)
    private static let version: UInt16 = 1

    /// - Returns: nil when there is no file.
    package static func load(_ path: String, files: any FileStore) throws(BridgeBufferError) -> BridgeState? {
        guard files.exists(path) else { return nil }
        let bytes = try onDisk { () throws(FileError) in try files.contents(of: path) }
        let advice = "delete it: the bridge sends what waits in its buffer again"
        guard bytes.count >= 28, bytes.starts(with: magic),
            bytes.withUnsafeBytes({ buffer in
                headend_crc32c(0, buffer.baseAddress, buffer.count - 4)
                    == BufferFormat.number(buffer, buffer.count - 4, UInt32.self)
            })
        else { throw .damaged(path: path, offset: 0, advice: advice) }
        let stored = bytes.withUnsafeBytes { BufferFormat.number($0, 8, UInt16.self) }
        if stored > version { throw .newerFormat(path: path, version: stored) }
        var state = BridgeState()
        state.cursor = bytes.withUnsafeBytes { BufferFormat.number($0, 12, UInt64.self) }
        let remoteBytes = bytes.withUnsafeBytes { Int(BufferFormat.number($0, 20, UInt32.self)) }
        let lists = bytes[24..<(bytes.count - 4)]
        guard remoteBytes <= lists.count else { throw .damaged(path: path, offset: 20, advice: advice) }
        state.remoteFilters = list(lists.prefix(remoteBytes))
        state.localFilters = list(lists.dropFirst(remoteBytes))
        return state
    }

    /// Replaces the file: a crash leaves the old one or the new one.
    package func save(_ path: String, files: any FileStore) throws(BridgeBufferError) {
        let bytes = encoded()
        try onDisk { () throws(FileError) in try files.replace(path, with: bytes) }
    }

    func encoded() -> [UInt8] {
        let remote = Array(remoteFilters.joined(separator: "\0").utf8)
        var bytes = Self.magic
        BufferFormat.append(Self.version, to: &bytes)
        BufferFormat.append(UInt16(0), to: &bytes)
        BufferFormat.append(cursor, to: &bytes)
        BufferFormat.append(UInt32(remote.count), to: &bytes)
        bytes += remote
        bytes += Array(localFilters.joined(separator: "\0").utf8)
        let sum = bytes.withUnsafeBytes { headend_crc32c(0, $0.baseAddress, $0.count) }
        BufferFormat.append(sum, to: &bytes)
        return bytes
    }

    private static func list(_ bytes: ArraySlice<UInt8>) -> [String] {
        bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    }
}
