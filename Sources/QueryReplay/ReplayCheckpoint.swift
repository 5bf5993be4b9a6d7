import PerpetualQuery

/// All that a replay needs to go on after its process has ended: what it was told to do, how far its inputs are taken,
/// how long its outputs are, and the engine's state in between. The layout is a table in
/// `QueryReplay.docc/ReplayCheckpointFormat.md`.
struct ReplayCheckpoint: Sendable, Equatable {
    static let magic: StaticString = "HEDREPLY"
    static let version: UInt16 = 1

    /// A thing that must be as it was.
    struct Setting: Hashable, Sendable {
        var name: String
        var value: String
    }

    struct Input: Hashable, Sendable {
        var place: InputPlace
        /// Of the bytes before the place.
        var mark: FileMark
    }

    struct Output: Hashable, Sendable {
        /// The rows of the events before the places, and no others, stand in these bytes.
        var mark: FileMark
        /// The columns of a CSV file whose first line is written.
        var columns: [String]?
    }

    var settings: [Setting]
    var inputs: [Input]
    var outputs: [Output]
    /// The engine's own format.
    var engineState: ArraySlice<UInt8> = []

    /// The bytes before the engine's state.
    var head: [UInt8] {
        var bytes: [UInt8] = []
        put(UInt32(settings.count), &bytes)
        for setting in settings {
            put(setting.name, &bytes)
            put(setting.value, &bytes)
        }
        put(UInt32(inputs.count), &bytes)
        for input in inputs {
            let position = input.place.position
            put(position.offset, &bytes)
            put(UInt64(position.number), &bytes)
            put(input.place.sequence, &bytes)
            put(input.place.time, &bytes)
            put(UInt8(position.isArray ? 1 : 0) | (position.isLineOpen ? 2 : 0), &bytes)
            put(input.mark.head, &bytes)
            put(input.mark.tail, &bytes)
        }
        put(UInt32(outputs.count), &bytes)
        for output in outputs {
            put(output.mark.byteCount, &bytes)
            put(output.mark.head, &bytes)
            put(output.mark.tail, &bytes)
            put(UInt8(output.columns == nil ? 0 : 1), &bytes)
            guard let columns = output.columns else { continue }
            put(UInt32(columns.count), &bytes)
            for column in columns { put(column, &bytes) }
        }
        return bytes
    }

    init(settings: [Setting], inputs: [Input], outputs: [Output]) {
        self.settings = settings
        self.inputs = inputs
        self.outputs = outputs
    }

    /// - Returns: nil when the bytes are no such body.
    init?(_ body: [UInt8]) {
        var reader = Reader(rest: body[...])
        settings = []
        inputs = []
        outputs = []
        for _ in 0..<(reader.take(UInt32.self) ?? 0) {
            guard let name = reader.text(), let value = reader.text() else { return nil }
            settings.append(Setting(name: name, value: value))
        }
        for _ in 0..<(reader.take(UInt32.self) ?? 0) {
            guard let input = reader.input() else { return nil }
            inputs.append(input)
        }
        for _ in 0..<(reader.take(UInt32.self) ?? 0) {
            guard let output = reader.output() else { return nil }
            outputs.append(output)
        }
        if settings.isEmpty || inputs.isEmpty || outputs.isEmpty { return nil }
        engineState = reader.rest
    }

    /// Little-endian numbers and texts, never past the end.
    private struct Reader {
        var rest: ArraySlice<UInt8>

        mutating func take<Number: FixedWidthInteger>(_ type: Number.Type) -> Number? {
            let size = MemoryLayout<Number>.size
            guard rest.count >= size else { return nil }
            defer { rest = rest.dropFirst(size) }
            return rest.withUnsafeBytes { Number(littleEndian: $0.loadUnaligned(as: Number.self)) }
        }

        mutating func text() -> String? {
            guard let count = take(UInt32.self), rest.count >= Int(count) else { return nil }
            defer { rest = rest.dropFirst(Int(count)) }
            return String(validating: rest.prefix(Int(count)), as: UTF8.self)
        }

        mutating func input() -> Input? {
            guard let offset = take(UInt64.self), let number = take(UInt64.self).flatMap(Int.init(exactly:)),
                let sequence = take(UInt64.self), let time = take(Int64.self), let flags = take(UInt8.self),
                let head = take(UInt32.self), let tail = take(UInt32.self)
            else { return nil }
            let position = EventPosition(
                offset: offset, number: number, isArray: flags & 1 != 0, isLineOpen: flags & 2 != 0)
            return Input(
                place: InputPlace(position: position, sequence: sequence, time: time),
                mark: FileMark(byteCount: offset, head: head, tail: tail))
        }

        mutating func output() -> Output? {
            guard let byteCount = take(UInt64.self), let head = take(UInt32.self),
                let tail = take(UInt32.self), let hasColumns = take(UInt8.self)
            else { return nil }
            let mark = FileMark(byteCount: byteCount, head: head, tail: tail)
            guard hasColumns == 1 else { return Output(mark: mark, columns: nil) }
            guard let count = take(UInt32.self) else { return nil }
            var columns: [String] = []
            for _ in 0..<count {
                guard let column = text() else { return nil }
                columns.append(column)
            }
            return Output(mark: mark, columns: columns)
        }
    }

    private func put<Number: FixedWidthInteger>(_ value: Number, _ bytes: inout [UInt8]) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    private func put(_ text: String, _ bytes: inout [UInt8]) {
        put(UInt32(text.utf8.count), &bytes)
        bytes.append(contentsOf: text.utf8)
    }
}
