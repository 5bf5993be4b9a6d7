/// The times of an input's devices, and the least of them: how far time is with `MinimumWatermark`.
///
/// A device is known from its first event that counts at its own time until none has come for the idle time; then it
/// is forgotten, and with its next event it is new. So memory is that of the devices that send.
final class MinimumTime {
    private struct Device {
        /// The greatest time of its events.
        var greatest: Int64
        /// When the last of them came, by the clock of arrival.
        var seen: Int64
        /// The devices seen before and after it; −1 at the ends.
        var before: Int32 = -1
        var after: Int32 = -1
    }

    private let idleTicks: Int64
    private let devicesMax: Int
    private let keys: KeyTable
    @exclusivity(unchecked) private var devices: [Device] = []
    /// Devices by a time that is at most their greatest: it is brought up to date when it is looked at, since most
    /// events change the time of a device that is not the last one.
    @exclusivity(unchecked) private var behind = DueHeap()
    @exclusivity(unchecked) private var oldest: Int32 = -1
    @exclusivity(unchecked) private var newest: Int32 = -1
    /// The greatest time of arrival.
    @exclusivity(unchecked) private var now = Int64.min
    /// Of all events of all devices, forgotten ones too.
    @exclusivity(unchecked) private(set) var greatest = Int64.min

    init(_ setting: MinimumWatermark, limits: StreamLimits) {
        idleTicks = setting.idleTicks
        devicesMax = limits.timelinesMax
        keys = KeyTable(hashKey: limits.hashKey)
    }

    /// Devices that are waited for.
    var count: Int { keys.count }

    var byteCount: Int {
        keys.byteCount + devices.capacity * MemoryLayout<Device>.stride + behind.byteCount
    }

    /// The clock of arrival is at least this: devices that were silent for too long are forgotten.
    @inline(__always)
    func arrive(at time: Int64) {
        guard time > now else { return }
        now = time
        if oldest >= 0, isIdle(oldest, at: now) { forget() }
    }

    private func isIdle(_ device: Int32, at time: Int64) -> Bool { idleAt(device) < time }

    /// The last moment at which it counts.
    private func idleAt(_ device: Int32) -> Int64 {
        TimePolicy.saturatingAdd(devices[Int(device)].seen, idleTicks)
    }

    private func forget() {
        while oldest >= 0, isIdle(oldest, at: now) {
            let number = Int(oldest)
            unlink(number)
            behind.set(number, due: Int64.max)
            keys.remove(number)
        }
    }

    /// An event of a device counts at its own time; `arrive` came before.
    ///
    /// - Returns: false when there are too many devices.
    func note(_ key: UnsafeRawBufferPointer, at time: Int64) -> Bool {
        greatest = max(greatest, time)
        let known = keys.find(key, hash: keys.hash(key))
        if let known {
            devices[known].greatest = max(devices[known].greatest, time)
            devices[known].seen = now
            if newest != Int32(known) {
                unlink(known)
                link(known)
            }
            return true
        }
        guard keys.count < devicesMax else { return false }
        add(key, Device(greatest: time, seen: now))
        return true
    }

    private func add(_ key: UnsafeRawBufferPointer, _ device: Device) {
        let number = keys.number(of: key).number
        while devices.count <= number { devices.append(device) }
        devices[number] = device
        link(number)
        behind.set(number, due: device.greatest)
    }

    /// How far the device is that is furthest behind; with none to wait for, how far any was.
    var least: Int64 {
        refresh()
        return behind.isEmpty ? greatest : behind.earliest
    }

    /// The device that is furthest behind, and until when of the clock it is waited for; of equally far ones any.
    var last: (key: UnsafeRawBufferPointer, time: Int64, idleAt: Int64)? {
        refresh()
        guard let number = behind.earliestNumber else { return nil }
        return (keys.bytes(of: number), devices[number].greatest, idleAt(Int32(number)))
    }

    /// At least what `least` would be once the clock says `time`: what it would be exactly takes a look at all
    /// devices when the last one goes.
    func leastAtMost(at time: Int64) -> Int64 {
        refresh()
        guard let number = behind.earliestNumber, !isIdle(Int32(number), at: time) else { return greatest }
        return behind.earliest
    }

    private func refresh() {
        while let number = behind.earliestNumber, behind.earliest < devices[number].greatest {
            behind.set(number, due: devices[number].greatest)
        }
    }

    // MARK: The order in which devices were seen

    private func link(_ number: Int) {
        devices[number].before = newest
        devices[number].after = -1
        if newest >= 0 { devices[Int(newest)].after = Int32(number) } else { oldest = Int32(number) }
        newest = Int32(number)
    }

    private func unlink(_ number: Int) {
        let device = devices[number]
        if device.before >= 0 {
            devices[Int(device.before)].after = device.after
        } else {
            oldest = device.after
        }
        if device.after >= 0 {
            devices[Int(device.after)].before = device.before
        } else {
            newest = device.before
        }
    }

    // MARK: Checkpoint

    func write(to writer: inout StateWriter) {
        writer.put(now)
        writer.put(greatest)
        writer.put(UInt32(count))
        var number = oldest
        while number >= 0 {
            writer.put(devices[Int(number)].greatest)
            writer.put(devices[Int(number)].seen)
            writer.put(keys.bytes(of: Int(number)))
            number = devices[Int(number)].after
        }
    }

    func read(_ reader: inout StateReader) throws(CheckpointError) {
        now = try reader.take(Int64.self)
        greatest = try reader.take(Int64.self)
        for _ in 0..<(try reader.take(UInt32.self)) {
            let device = Device(greatest: try reader.take(Int64.self), seen: try reader.take(Int64.self))
            let key = try reader.takeBytes()
            guard keys.count < devicesMax, keys.find(key, hash: keys.hash(key)) == nil else {
                throw .damaged(at: reader.at)
            }
            add(key, device)
        }
    }
}
