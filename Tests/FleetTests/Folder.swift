import Fleet
import Foundation
import Telemetry
import Testing

/// A folder of YAML files that goes away with its owner.
final class Folder {
    let path: String

    init(_ files: [String: String]) throws {
        path = NSTemporaryDirectory() + "fleet-tests-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        for (name, text) in files {
            try text.write(toFile: path + "/" + name, atomically: true, encoding: .utf8)
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func load() throws -> FleetPlan { try FleetPlan.load(directory: path) }

    /// What is wrong in the folder, with paths relative to it.
    func problems() -> [String] {
        do throws(FleetConfigurationErrors) {
            _ = try FleetPlan.load(directory: path)
            return []
        } catch {
            return error.problems.map {
                $0.description.replacingOccurrences(of: path + "/", with: "").replacingOccurrences(
                    of: path, with: ".")
            }
        }
    }
}

/// The plan of one type, `thing`.
func plan(_ yaml: String) throws -> FleetPlan {
    let folder = try Folder(["thing.yaml": yaml])
    return try folder.load()
}

let epoch = EventTime(milliseconds: 1_772_323_200_000)  // 2026-03-01T00:00:00Z

func seconds(_ count: Int64) -> EventTime { epoch.adding(ticks: count * EventTime.ticksPerSecond) }

/// Everything one device does until a moment, the end of its script included when asked for.
func actions(
    _ plan: FleetPlan, device: Int = 0, seed: UInt64 = 42, start: EventTime = epoch, until: EventTime,
    finishing: Bool = false
) -> [PlannedAction] {
    var script = plan.script(device: device, seed: seed, start: start)
    var result: [PlannedAction] = []
    while let action = script.next(through: until) { result.append(action) }
    if finishing {
        script.finish(at: until)
        while let action = script.next(through: until) { result.append(action) }
    }
    return result
}

extension [PlannedAction] {
    var publications: [Publication] {
        compactMap { action in
            if case .publish(let publication) = action.kind { publication } else { nil }
        }
    }

    /// The answer key's lines, in its order.
    var entries: [AnswerKeyEntry] {
        compactMap { action in
            switch action.kind {
            case .publish(let publication): publication.entry
            case .omit(let entry): entry
            default: nil
            }
        }
    }
}

func numbers(_ entries: [AnswerKeyEntry], _ name: String = "v", truth: Bool = false) -> [Double] {
    entries.compactMap { entry in
        let column = (truth ? entry.trueValues : entry.values).first { $0.name == name }
        switch column?.value {
        case .float(let value): return value
        case .bigint(let value): return Double(value)
        default: return nil
        }
    }
}
