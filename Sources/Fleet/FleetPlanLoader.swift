import Platform
import Telemetry

/// Reads a fleet folder and collects what is wrong in it.
struct FleetPlanLoader {
    let directory: String
    let files: any FileStore
    let limits: FleetPlan.Limits
    private var problems: [ConfigurationProblem] = []
    private var plan = FleetPlan()

    init(directory: String, files: any FileStore, limits: FleetPlan.Limits) {
        // `devices/` and `devices` are the same folder, and the places should read `devices/pump.yaml`.
        var path = Substring(directory)
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        self.directory = path.isEmpty ? "." : String(path)
        self.files = files
        self.limits = limits
    }

    mutating func load() throws(FleetConfigurationErrors) -> FleetPlan {
        guard files.exists(directory) else {
            throw failure("no such folder; give one with a YAML file for each device type")
        }
        let names: [String]
        do throws(FileError) {
            names = try files.list(directory)
        } catch {
            throw FleetConfigurationErrors(problems: [.init(file: directory, message: error.message)])
        }
        let yamlNames = names.filter { $0.hasSuffix(".yaml") || $0.hasSuffix(".yml") }
        for name in yamlNames { read(name) }
        if plan.types.isEmpty, problems.isEmpty {
            throw failure("no device types here: add a file such as thermometer.yaml")
        }
        if plan.types.count > limits.typesMax {
            throw failure("more than \(limits.typesMax) device types")
        }
        expandDevices()
        if !problems.isEmpty { throw FleetConfigurationErrors(problems: problems) }
        return plan
    }

    private func failure(_ message: String) -> FleetConfigurationErrors {
        FleetConfigurationErrors(problems: [.init(file: directory, message: message)])
    }

    private mutating func read(_ name: String) {
        let path = directory + "/" + name
        let file = YAMLFile(name: path)
        defer { problems += file.problems }
        let base = String(name.hasSuffix(".yml") ? name.dropLast(4) : name.dropLast(5))
        guard let text = contents(path, file) else { return }
        if base == "fleet" {
            guard let root = file.compose(text) else { return }
            FleetFileReader.read(root, into: &plan)
            return
        }
        guard !base.isEmpty, base.utf8.allSatisfy(Self.isNameByte) else {
            file.report("the file's name is the device type: use letters, digits, - and _ only", at: nil)
            return
        }
        if plan.types.contains(where: { $0.name == base }) {
            file.report("the type \"\(base)\" has another file already (.yml and .yaml)", at: nil)
            return
        }
        guard let root = file.compose(text) else { return }
        if let type = DeviceTypeReader(name: base, limits: limits).read(root) { plan.types.append(type) }
    }

    private func contents(_ path: String, _ file: YAMLFile) -> String? {
        do throws(FileError) {
            let opened = try files.open(path, writable: false)
            let byteCount = try opened.byteCount()
            opened.close()
            guard byteCount <= limits.fileBytesMax else {
                file.report("\(byteCount) bytes; a device type has at most \(limits.fileBytesMax)", at: nil)
                return nil
            }
            let bytes = try files.contents(of: path)
            guard let text = String(validating: bytes, as: UTF8.self) else {
                file.report("not UTF-8", at: nil)
                return nil
            }
            return text
        } catch {
            file.report("cannot \(error.operation): \(error.message)", at: nil)
            return nil
        }
    }

    /// Names every device, and finds names that are not allowed or there twice.
    private mutating func expandDevices() {
        let total = plan.types.reduce(0) { $0 + $1.count }
        guard total <= limits.devicesMax else {
            problems.append(
                .init(
                    file: directory,
                    message: "\(total) devices in all; at most \(limits.devicesMax) in one fleet"))
            return
        }
        var seen: [String: String] = [:]
        for (typeIndex, type) in plan.types.enumerated() {
            let path = "\(directory)/\(type.name).yaml"
            for index in 1...type.count {
                let tags = type.tags.map { tag in
                    DeviceType.Tag(name: tag.name, values: [tag.values[(index - 1) % tag.values.count]])
                }
                let id = type.identifier.render(type: type.name, index: index, tags: tags, id: "")
                let topic = type.topic.render(type: type.name, index: index, tags: tags, id: id)
                if let message = Self.fault(inID: id) ?? Self.fault(inTopic: topic) {
                    problems.append(.init(file: path, message: message))
                    break
                }
                if let other = seen.updateValue(path, forKey: id) {
                    problems.append(
                        .init(
                            file: path,
                            message:
                                "the device id \"\(id)\" is there twice (first in \(other)); put {i} into id")
                    )
                    break
                }
                plan.devices.append(DeviceIdentity(id: id, topic: topic, tags: tags, typeIndex: typeIndex))
            }
        }
    }

    private static func fault(inID id: String) -> String? {
        guard !id.isEmpty, id.utf8.count <= 128, !id.utf8.contains(where: { "+#/\0".utf8.contains($0) })
        else { return "the device id \"\(id)\" is not allowed: 1 to 128 bytes without + # /" }
        return nil
    }

    private static func fault(inTopic topic: String) -> String? {
        guard !topic.isEmpty, topic.utf8.count <= 1_024,
            !topic.utf8.contains(where: { "+#\0".utf8.contains($0) })
        else { return "the topic \"\(topic)\" is not allowed: 1 to 1024 bytes without + and #" }
        return nil
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }
}
