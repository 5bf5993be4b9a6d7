import DeviceQueue
import Platform
import Telemetry

/// Proofs on copies of the disk, which the world itself never sees.
extension Torture {
    /// Recovery that is cut by a crash, again and again, ends like recovery that is not.
    func checkIdempotence() {
        let straight = disk.copy()
        let cut = disk.copy()
        do {
            let wanted = try recover(straight)
            for call in 1...200 {
                cut.crashAt = cut.mutatingCalls + call
                let found = try? recover(cut)
                guard cut.isDown else {
                    if found != wanted { world.fail(.idempotence, "after \(call) crashes in recovery") }
                    return
                }
                cut.crash(.mixed)
            }
        } catch {
            world.fail(.recovery, "a copy of the disk: \(error)")
        }
    }

    private func recover(_ disk: SimulatedDisk) throws -> [Oracle.Stored] {
        defer { if !disk.isDown { disk.kill() } }
        let directory = try DataDirectory.open(SimulatedHub.dataPath, files: disk)
        return try DeviceQueue.open(
            directory: directory.queuePath, files: disk, limits: settings.queue,
            nowTicks: world.clock.wallTicks(), seed: 1
        ).storedFrames()
    }

    /// Flips bits of files at rest: each is detected and its file named, or it changes nothing.
    ///
    /// One damage cannot be told from a torn write: that of the last batch, which nothing stands behind. What
    /// it costs is that batch's frames from there on, and never gives wrong ones.
    func checkDamage() {
        var random = world.random.split()
        let lastBatch = hub.flatMap { try? $0.queue.framesOfLastBatch() } ?? 0
        hub?.die()
        hub = nil
        disk.crash(.kept)
        for _ in 0..<8 {
            let files = disk.contents.filter { !$0.path.hasPrefix("data/results/") && $0.byteCount > 0 }
            guard !files.isEmpty else { return }
            let (path, byteCount) = random.pick(files)
            let byte = random.whole(0...(min(byteCount, 12_000) - 1))
            let copy = disk.copy()
            copy.flipBit(of: path, byte: byte, bit: random.whole(0...7))
            checkDamaged(copy, path, byte, lastBatch: lastBatch)
        }
    }

    private func checkDamaged(_ copy: SimulatedDisk, _ path: String, _ byte: Int, lastBatch: Int) {
        let place = "bit of \(path) at byte \(byte)"
        let elsewhere = World(seed: plan.seed)
        elsewhere.clock.steppedTicks = world.clock.wallTicks() - elsewhere.clock.wallTicks()
        do {
            let damaged = try SimulatedHub(
                world: elsewhere, disk: copy, oracle: oracle, settings: settings
            ) { _ in }
            defer {
                damaged.die()
                elsewhere.end()
            }
            let found = try damaged.queue.storedFrames()
            let missing = oracle.log.count - found.count
            if missing < 0 || missing > lastBatch || found != Array(oracle.log.prefix(found.count)) {
                world.fail(.damage, "\(place): \(missing) frames are missing or others differ")
            }
            guard missing == 0 else { return world.reach(.damages) }
            world.reach(.harmlessDamages)
            damaged.run()
            while elsewhere.step(until: 30_000_000_000) {}
            let truth = WindowOracle(oracle.log, message: oracle.message(of:))
            var check = ResultCheck(truth: truth, world: world)
            check.check(disk: copy, forwarded: [], isDrained: true)
        } catch {
            world.reach(.damages)
            // The place and what to do: that is what an operator needs.
            if !String(describing: error).contains(SimulatedDisk.directory(of: path)) {
                world.fail(.damage, "\(place): refused without naming the place: \(error)")
            }
        }
    }
}

extension DeviceQueue {
    /// Frames with a meaning of their own behind the last commit frame that announces any.
    func framesOfLastBatch() throws -> Int {
        var count = 0
        let reader = makeReader(from: QueueOffset(0))
        while try reader.next({ frame in
            switch frame.kind {
            case .commit: if frame.previous > 0 { count = 0 }
            case .record, .quarantined, .tick: count += 1
            default: break
            }
        }) {}
        return count
    }
}
