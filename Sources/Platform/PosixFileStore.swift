#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The machine's own file system.
package struct PosixFileStore: FileStore {
    package init() {}

    package func createDirectory(_ path: String) throws(FileError) {
        var prefix = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            prefix += prefix.isEmpty || prefix.hasSuffix("/") ? String(part) : "/" + part
            if mkdir(prefix, 0o755) != 0, errno != EEXIST {
                throw FileError.last("create the directory", prefix)
            }
        }
        var status = stat()
        if stat(path, &status) != 0 || status.st_mode & S_IFMT != S_IFDIR {
            throw FileError(
                kind: .denied, operation: "create the directory", path: path, code: ENOTDIR,
                message: "a file is in the way")
        }
    }

    package func list(_ directory: String) throws(FileError) -> [String] {
        guard let stream = opendir(directory) else {
            if errno == ENOENT { return [] }
            throw FileError.last("list", directory)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
    }

    package func open(_ path: String, writable: Bool) throws(FileError) -> any StoredFile {
        let flags = writable ? O_RDWR | O_CREAT | O_CLOEXEC : O_RDONLY | O_CLOEXEC
        #if canImport(Glibc)
            let descriptor = Glibc.open(path, flags, 0o644)
        #else
            let descriptor = Darwin.open(path, flags, 0o644)
        #endif
        if descriptor < 0 { throw FileError.last("open", path) }
        return PosixFile(descriptor: descriptor, path: path)
    }

    package func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    package func fingerprint(_ path: String) throws(FileError) -> FileFingerprint? {
        var status = stat()
        if stat(path, &status) != 0 { throw FileError.last("look at", path) }
        #if canImport(Glibc)
            let time = status.st_mtim
        #else
            let time = status.st_mtimespec
        #endif
        return FileFingerprint(
            file: UInt64(status.st_ino), byteCount: UInt64(status.st_size),
            modifiedTicks: Int64(time.tv_sec) * 10_000_000 + Int64(time.tv_nsec) / 100)
    }

    package func rename(_ path: String, to newPath: String) throws(FileError) {
        #if canImport(Glibc)
            let result = Glibc.rename(path, newPath)
        #else
            let result = Darwin.rename(path, newPath)
        #endif
        if result != 0 { throw FileError.last("rename", path) }
    }

    package func remove(_ path: String) throws(FileError) {
        if unlink(path) != 0 { throw FileError.last("remove", path) }
    }

    package func synchronizeDirectory(_ path: String) throws(FileError) {
        #if canImport(Glibc)
            let descriptor = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        #else
            let descriptor = Darwin.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        #endif
        if descriptor < 0 { throw FileError.last("open", path) }
        defer { close(descriptor) }
        if fsync(descriptor) != 0 { throw FileError.last("sync", path) }
    }

    package func lock(_ path: String) throws(FileError) -> any StoredFile {
        let file = try open(path, writable: true)
        guard let posix = file as? PosixFile else { return file }
        if flock(posix.descriptor, LOCK_EX | LOCK_NB) != 0 {
            let code = errno
            posix.close()
            throw FileError(
                kind: code == EWOULDBLOCK ? .locked : .failed, operation: "lock", path: path, code: code,
                message: code == EWOULDBLOCK ? "another process holds it" : String(cString: strerror(code)))
        }
        return file
    }
}

/// A file descriptor that is closed with its owner.
///
/// `@unchecked Sendable`: the descriptor never changes after init; `isClosed` is touched by the owner's
/// `close()` and by deinit only.
private final class PosixFile: StoredFile, @unchecked Sendable {
    let descriptor: Int32
    private let path: String
    private var isClosed = false

    init(descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit { close() }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
        var done = 0
        while done < bytes.count {
            let count = pwrite(
                descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done,
                off_t(offset) + off_t(done))
            if count < 0 {
                if errno == EINTR { continue }
                throw FileError.last("write", path)
            }
            done += count
        }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileError) -> Int {
        var done = 0
        while done < buffer.count {
            let count = pread(
                descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done,
                off_t(offset) + off_t(done))
            if count < 0 {
                if errno == EINTR { continue }
                throw FileError.last("read", path)
            }
            if count == 0 { break }
            done += count
        }
        return done
    }

    func synchronize() throws(FileError) {
        #if canImport(Glibc)
            let result = fdatasync(descriptor)
        #else
            let result = fsync(descriptor)
        #endif
        if result != 0 { throw FileError.last("sync", path) }
    }

    func truncate(to byteCount: UInt64) throws(FileError) {
        if ftruncate(descriptor, off_t(byteCount)) != 0 { throw FileError.last("truncate", path) }
    }

    func dropCache() {
        #if canImport(Glibc)
            // Only a hint; there is nothing to do when it is refused.
            _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
        #endif
    }

    func byteCount() throws(FileError) -> UInt64 {
        var status = stat()
        if fstat(descriptor, &status) != 0 { throw FileError.last("measure", path) }
        return UInt64(status.st_size)
    }

    func isRemoved() throws(FileError) -> Bool {
        var status = stat()
        if fstat(descriptor, &status) != 0 { throw FileError.last("look at", path) }
        return status.st_nlink == 0
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        #if canImport(Glibc)
            _ = Glibc.close(descriptor)
        #else
            _ = Darwin.close(descriptor)
        #endif
    }
}

extension FileError {
    /// The error of the call that just failed, from errno.
    static func last(_ operation: String, _ path: String) -> FileError {
        let code = errno
        let kind: Kind =
            switch code {
            case ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM: .full
            case EACCES, EPERM, EROFS: .denied
            case ENOENT: .missing
            default: .failed
            }
        return FileError(
            kind: kind, operation: operation, path: path, code: code, message: String(cString: strerror(code))
        )
    }
}
