import DeviceQueue
import Platform

/// What goes wrong, and when.
extension Torture {
    func scheduleFault() {
        guard !plan.kinds.isEmpty else { return }
        world.after(world.random.microseconds(plan.faultPauseMicroseconds), "fault") { [self] in
            guard world.now < plan.faultNanoseconds else { return }
            let fault = world.random.pick(plan.kinds)
            world.note("fault: \(fault)")
            faultCount += 1
            happen(fault)
            scheduleFault()
        }
    }

    /// All is well from now on.
    func endOfFaults() {
        disk.byteCapacity = nil
        if plan.crashAtCall == nil { disk.crashAt = nil }
        disk.refusesNextWrite = false
        disk.refusesNextSync = false
        disk.syncMicroseconds = 100
    }

    private func happen(_ fault: TorturePlan.Fault) {
        switch fault {
        case .powerCut: disk.cutPower()
        case .powerCutInCall, .killInCall:
            disk.crashAt = disk.mutatingCalls + world.random.whole(1...40)
            disk.crashIsKill = fault == .killInCall
        case .crashInRecovery: break
        case .kill:
            if hub != nil { world.reach(.kills) }
            kill()
            scheduleStart(after: world.random.microseconds(1_000...3_000_000))
        case .restart: restart()
        case .diskFull, .syncFails, .writeFails, .slowDisk: happenToDisk(fault)
        case .linkCut, .linkStall, .takeover, .goodbye, .subscriberCut: happenToNetwork(fault)
        case .clockStep:
            let ticks = Int64(world.random.whole(-90...90)) * 10_000_000
            world.clock.steppedTicks += ticks
            world.after(world.random.microseconds(1_000_000...30_000_000), "clock mended") { [world] in
                world.clock.steppedTicks -= ticks
            }
        }
    }

    private func restart() {
        do {
            if hub != nil { world.reach(.stops) }
            try hub?.stop()
        } catch {
            // A disk that is full or refuses: the process ends all the same.
            world.note("the stop failed: \(error)")
            if disk.isDown { return }
        }
        kill()
        scheduleStart(after: world.random.microseconds(1_000...3_000_000))
    }

    private func happenToDisk(_ fault: TorturePlan.Fault) {
        switch fault {
        case .diskFull:
            let used = disk.contents.reduce(0) { $0 + $1.byteCount }
            disk.byteCapacity = used + world.random.whole(0...20_000)
            world.after(world.random.microseconds(1_000_000...20_000_000), "room again") { [disk] in
                disk.byteCapacity = nil
            }
        case .syncFails: disk.refusesNextSync = true
        case .writeFails: disk.refusesNextWrite = true
        default:
            disk.syncMicroseconds = world.random.whole(10_000...500_000)
            world.after(world.random.microseconds(1_000_000...10_000_000), "fast again") { [disk] in
                disk.syncMicroseconds = 100
            }
        }
    }

    private func happenToNetwork(_ fault: TorturePlan.Fault) {
        let device = world.random.pick(devices)
        switch fault {
        case .linkCut:
            device.currentLink?.cut(
                hubLearnsAfter: world.random.chance(70) ? world.random.microseconds(100...5_000_000) : nil,
                clientLearnsAfter: world.random.microseconds(100...5_000_000))
        case .linkStall:
            device.currentLink?.stall(nanoseconds: world.random.microseconds(100_000...12_000_000))
        case .takeover:
            if hub != nil { world.reach(.takeovers) }
            device.takeOver()
        case .goodbye: device.disconnect()
        default:
            subscriber?.link?.cut(
                hubLearnsAfter: world.random.microseconds(100...5_000_000),
                clientLearnsAfter: world.random.microseconds(100...5_000_000))
        }
    }
}
