import Platform

/// A `LogState` on disk, with the names of its devices and clients. Layout: `DeviceQueue.docc/LogFormat.md`.
struct LogStateFile: ~Copyable {
    static let headerBytes = 296
    private static let coveredBytes = 64
    private static let marksBytes = 40
    private static let deviceBytes = 24
    private static let undefined = UInt32.max

    let state: LogState
    let logID: UInt64
    let hashKey: UInt64
    private let image: FileImage
    /// Bytes of each name, by device number, then by client number.
    private let nameBytes: [UInt32]
    private let namesStart: Int

    // Writing.

    static func encode(
        _ state: LogState, logID: UInt64, hashKey: UInt64, deviceNames: NameTable, clientNames: NameTable
    ) -> FileImage {
        var image = FileImage(
            byteCapacity: headerBytes + state.segments.count * coveredBytes
                + state.devices.count * (deviceBytes + 40))
        appendHeader(state, logID: logID, hashKey: hashKey, to: &image)
        for segment in state.segments {
            image.append(segment.base)
            image.append(segment.byteCount)
            image.append(segment.lastCommitNumber)
            image.append(segment.lastFramePosition)
            image.append(segment.lastFrameChecksum)
            image.append(segment.firstTicks)
            image.append(segment.lastTicks)
            image.append(segment.records)
            image.append(segment.ids)
        }
        for file in state.marks {
            image.append(file.from)
            image.append(file.to)
            image.append(file.count)
            image.append(file.lastTicks)
            image.append(file.checksum)
            image.append(UInt32(0))
        }
        for (number, device) in state.devices.enumerated() {
            image.append(device.lastSequence)
            image.append(device.lastOffset)
            image.append(
                device.isDefined ? UInt32(deviceNames.nameBytes(UInt32(number))) : undefined)
            image.append(UInt32(0))
        }
        for sequence in state.removedThrough { image.append(sequence) }
        for (number, isDefined) in state.clients.enumerated() {
            image.append(isDefined ? UInt32(clientNames.nameBytes(UInt32(number))) : undefined)
        }
        image.pad()
        appendUnreleased(state, to: &image)
        let tallies = state.tallies.encoded()
        tallies.withUnsafeBytes { image.append($0) }
        image.store(UInt64(tallies.count), at: 288)
        image.pad()
        appendNames(deviceNames, state.devices.count, to: &image) { state.devices[$0].isDefined }
        appendNames(clientNames, state.clients.count, to: &image) { state.clients[$0] }
        image.pad()
        image.store(UInt64(image.byteCount), at: 16)
        image.store(image.checksum(from: 16), at: 12)
        return image
    }

    private static func appendHeader(
        _ state: LogState, logID: UInt64, hashKey: UInt64, to image: inout FileImage
    ) {
        image.append(LogFormat.stateMagic)
        image.append(LogFormat.stateVersion)
        image.append(UInt32(0))
        image.append(UInt64(0))
        image.append(logID)
        image.append(hashKey)
        image.append(state.boundary)
        image.append(state.removedEnd)
        image.append(state.lastCommitNumber)
        image.append(state.lastArrivalTicks)
        image.append(state.counters.stored)
        image.append(state.counters.withMessageID)
        for reason in 0..<8 { image.append(state.counters.quarantinedByReason[reason]) }
        image.append(state.thinnedEnd)
        image.append(state.removedRecords)
        image.append(state.removedSegments)
        image.append(UInt64(state.segments.count))
        image.append(UInt64(state.marks.count))
        image.append(UInt64(state.devices.count))
        image.append(UInt64(state.clients.count))
        image.append(UInt64(state.unreleased.clients.count))
        image.append(UInt64(state.removedThrough.count))
        for reason in 8..<16 { image.append(state.counters.quarantinedByReason[reason]) }
        image.append(UInt64(0))
    }

    private static func appendUnreleased(_ state: LogState, to image: inout FileImage) {
        for client in state.unreleased.clients {
            let identifiers = state.unreleased.identifiers(client: client)
            image.append(client)
            image.append(UInt32(identifiers.count))
            for identifier in identifiers { image.append(identifier) }
            image.pad()
        }
    }

    private static func appendNames(
        _ names: NameTable, _ count: Int, to image: inout FileImage, where isDefined: (Int) -> Bool
    ) {
        for number in 0..<count where isDefined(number) {
            let size = names.nameBytes(UInt32(number))
            if size > 0 { names.copyName(UInt32(number), to: image.extend(by: size)) }
        }
    }

    // Reading.

    /// - Returns: nil when the bytes are damaged or of another version.
    init?(image: consuming FileImage) {
        guard image.byteCount >= Self.headerBytes, image.load(0) == LogFormat.stateMagic,
            image.load(8, as: UInt32.self) == LogFormat.stateVersion,
            image.load(16) == UInt64(image.byteCount),
            image.load(12, as: UInt32.self) == image.checksum(from: 16)
        else { return nil }
        var cursor = Cursor(at: Self.headerBytes, end: image.byteCount)
        var state = Self.header(image)
        guard let segments = cursor.take(image.load(176), Self.coveredBytes),
            let marks = cursor.take(image.load(184), Self.marksBytes),
            let devices = cursor.take(image.load(192), Self.deviceBytes),
            let removed = cursor.take(image.load(216), 8),
            let clients = cursor.take(image.load(200), 4)
        else { return nil }
        cursor.at = (cursor.at + 7) & ~7
        state.segments = segments.map { Self.covered(image, at: $0) }
        state.marks = marks.map { Self.marksFile(image, at: $0) }
        var nameBytes: [UInt32] = []
        nameBytes.reserveCapacity(devices.count + clients.count)
        state.devices.reserveCapacity(devices.count)
        for at in devices {
            nameBytes.append(image.load(at + 16))
            state.devices.append(
                LogState.Device(
                    lastSequence: image.load(at), lastOffset: image.load(at + 8),
                    isDefined: image.load(at + 16) != Self.undefined))
        }
        state.removedThrough = removed.map { image.load($0) }
        for at in clients {
            nameBytes.append(image.load(at))
            state.clients.append(image.load(at) != Self.undefined)
        }
        for _ in 0..<image.load(208) {
            guard let head = cursor.take(1, 8)?.first else { return nil }
            let client = image.load(head, as: UInt32.self)
            guard client < UInt32(clients.count),
                let identifiers = cursor.take(UInt64(image.load(head + 4, as: UInt32.self)), 2)
            else { return nil }
            for at in identifiers { state.unreleased.insert(client: client, image.load(at)) }
            cursor.at = (cursor.at + 7) & ~7
        }
        let talliesBytes = image.load(288, as: UInt64.self)
        guard cursor.at <= image.byteCount, talliesBytes <= UInt64(image.byteCount - cursor.at),
            let tallies = LogTallies(
                decoding: UnsafeRawBufferPointer(
                    rebasing: image.bytes[cursor.at..<(cursor.at + Int(talliesBytes))]),
                repeatedMax: QueueLimits().repeatedRecords)
        else { return nil }
        state.tallies = tallies
        // Older files still count what was removed as waiting.
        state.tallies.forget(through: state.removedThrough.first ?? 0)
        cursor.at = (cursor.at + Int(talliesBytes) + 7) & ~7
        let names = nameBytes.reduce(0) { $1 == Self.undefined ? $0 : $0 + Int($1) }
        guard cursor.at + names <= image.byteCount else { return nil }
        self.state = state
        self.nameBytes = nameBytes
        namesStart = cursor.at
        logID = image.load(24)
        hashKey = image.load(32)
        self.image = image
    }

    /// Reads a file; nil when it is damaged or of another version.
    static func load(_ path: String, files: any FileStore) throws(FileError) -> LogStateFile? {
        guard let image = try FileImage.read(path, files: files, byteCountMin: headerBytes) else {
            return nil
        }
        return LogStateFile(image: image)
    }

    /// Where the next section begins.
    private struct Cursor {
        var at: Int
        let end: Int

        /// The offsets of `count` entries, nil when there are not so many bytes.
        mutating func take(_ count: UInt64, _ byteCount: Int) -> [Int]? {
            guard at <= end, count <= UInt64((end - at) / byteCount) else { return nil }
            let start = at
            at += Int(count) * byteCount
            return Array(stride(from: start, to: at, by: byteCount))
        }
    }

    private static func header(_ image: borrowing FileImage) -> LogState {
        var state = LogState()
        state.boundary = image.load(40)
        state.removedEnd = image.load(48)
        state.lastCommitNumber = image.load(56)
        state.lastArrivalTicks = image.load(64)
        state.counters.stored = image.load(72)
        state.counters.withMessageID = image.load(80)
        for reason in 0..<8 { state.counters.quarantinedByReason[reason] = image.load(88 + reason * 8) }
        for reason in 8..<16 {
            state.counters.quarantinedByReason[reason] = image.load(224 + (reason - 8) * 8)
        }
        state.thinnedEnd = image.load(152)
        state.removedRecords = image.load(160)
        state.removedSegments = image.load(168)
        return state
    }

    private static func covered(_ image: borrowing FileImage, at: Int) -> LogState.Covered {
        LogState.Covered(
            base: image.load(at), byteCount: image.load(at + 8), lastCommitNumber: image.load(at + 16),
            lastFramePosition: image.load(at + 24), lastFrameChecksum: image.load(at + 28),
            firstTicks: image.load(at + 32), lastTicks: image.load(at + 40), records: image.load(at + 48),
            ids: image.load(at + 56))
    }

    private static func marksFile(_ image: borrowing FileImage, at: Int) -> LogState.MarksFile {
        LogState.MarksFile(
            from: image.load(at), to: image.load(at + 8), count: image.load(at + 16),
            checksum: image.load(at + 32), lastTicks: image.load(at + 24))
    }

    /// Puts the names into the tables, which are empty.
    ///
    /// - Returns: false when a name comes twice, or a number is over the limit.
    func restoreNames(devices: NameTable, clients: NameTable) -> Bool {
        var at = namesStart
        for (index, size) in nameBytes.enumerated() where size != Self.undefined && size > 0 {
            let name = UnsafeRawBufferPointer(rebasing: image.bytes[at..<at + Int(size)])
            at += Int(size)
            let isDevice = index < state.devices.count
            let number = UInt32(isDevice ? index : index - state.devices.count)
            guard (isDevice ? devices : clients).restore(name, number: number) else { return false }
        }
        return true
    }
}
