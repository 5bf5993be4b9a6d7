import CChecksum
import FileStoreKit
import Platform
import Testing

@testable import DeviceQueue

@Suite struct DataDirectoryTests {
    @Test("a new directory gets its format file and is locked while it is open")
    func lock() throws {
        let files = MemoryFileStore()
        var first: DataDirectory? = try DataDirectory.open("/data", files: files)
        #expect(files["/data/FORMAT"] == Array("headend-data 1\n".utf8))
        #expect(first?.queuePath == "/data/queue/0")
        #expect(throws: QueueError.locked(path: "/data")) { try DataDirectory.open("/data", files: files) }
        first = nil
        _ = try DataDirectory.open("/data", files: files)
        #expect(first == nil)
    }

    @Test("a directory of a newer headend is refused in plain words and left alone")
    func newer() throws {
        let files = MemoryFileStore()
        _ = try DataDirectory.open("/data", files: files)
        files["/data/FORMAT"] = Array("headend-data 2\n".utf8)
        let error = #expect(throws: QueueError.self) { try DataDirectory.open("/data", files: files) }
        #expect(error == .newerFormat(path: "/data", found: 2, known: 1))
        #expect(error?.description.contains("made by a newer headend (format 2); this one reads 1") == true)
    }

    @Test(
        "anything else in the format file is refused",
        arguments: ["", "headend-data", "headend-data x\n", "hello 1\n"])
    func foreign(_ text: String) throws {
        let files = MemoryFileStore()
        _ = try DataDirectory.open("/data", files: files)
        files["/data/FORMAT"] = Array(text.utf8)
        #expect(throws: QueueError.self) { try DataDirectory.open("/data", files: files) }
        #expect(throws: QueueError.self) { try DataDirectory.check("/data", files: files) }
    }

    @Test("a missing directory and one that cannot be written are told apart")
    func refusals() throws {
        let files = MemoryFileStore()
        #expect(throws: QueueError.missing(path: "/none")) {
            try DataDirectory.open("/none", files: files, createIfMissing: false)
        }
        #expect(throws: QueueError.missing(path: "/none")) { try DataDirectory.check("/none", files: files) }
        files.isDenied = true
        #expect(throws: QueueError.unwritable(path: "/data", reason: "denied by the test")) {
            try DataDirectory.open("/data", files: files)
        }
    }

    @Test("the checksum by instruction equals the one by table, at every length and alignment")
    func checksums() {
        var random = SeededRandom(3)
        let bytes = (0..<10_000).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        bytes.withUnsafeBytes { raw in
            guard let base = raw.baseAddress else { return }
            for start in 0..<9 {
                // Every short length, and some of each number of blocks that long ones are cut into.
                for length in Array(0..<391) + Array(stride(from: 391, to: 9_900, by: 47)) {
                    let seed = UInt32(truncatingIfNeeded: random.next())
                    #expect(
                        headend_crc32c(seed, base + start, length)
                            == headend_crc32c_table(seed, base + start, length))
                }
            }
        }
        // RFC 3720 B.4: 32 bytes of zeros, and the ascending bytes.
        #expect(
            [UInt8](repeating: 0, count: 32).withUnsafeBytes { headend_crc32c(0, $0.baseAddress, 32) }
                == 0x8A91_36AA)
        #expect(
            Array(UInt8(0)..<32).withUnsafeBytes { headend_crc32c_table(0, $0.baseAddress, 32) }
                == 0x46DD_794E)
    }
}
