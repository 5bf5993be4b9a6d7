import Telemetry
import Testing

@testable import PerpetualQuery

/// A row goes out as bytes; `ResultRow` has the same as values.
@Suite struct RowBufferTests {
    private static let payload =
        #"{"k":"a\"\\\u0007/ä","n":-9223372036854775808,"f":0.1,"z":null,"b":true,"#
        + "\"r\":{\n \"x\" : [ 1 , \"a b\\\" \" ] , \"y\":{ } },\"l\":[ ]}"

    @Test(
        "The bytes of a row are those of its values",
        arguments: [
            "SELECT k, n, f, z, b, r, l, System.Timestamp() AS t INTO o FROM i",
            "SELECT * INTO o FROM i", "SELECT k, * INTO o FROM i",
            "SELECT COUNT(*) AS c INTO o FROM i GROUP BY k, TumblingWindow(second, 1)",
            "SELECT k INTO o FROM i; SELECT n, k INTO o FROM i",
        ])
    func bytes(text: String) throws {
        let harness = try StreamHarness(text)
        let arrival = EventTime(ticks: 17_723_232_005_000_000)
        Array(Self.payload.utf8).withUnsafeBytes { bytes in
            let event = StreamEvent(
                input: 0, device: 0, sequence: 1, arrivalTime: arrival, eventTime: arrival, payload: bytes)
            #expect(throws: Never.self) { try harness.engine.process(event) }
        }
        try harness.engine.flush()
        let rows = harness.buffer
        #expect(rows.count > 0)
        for row in 0..<rows.count {
            var bytes: [UInt8] = []
            rows.appendJSON(of: row, id: rows.id(of: row), to: &bytes)
            let values = rows.resultRow(row)
            #expect(String(decoding: bytes, as: UTF8.self) == String(decoding: values.json(), as: UTF8.self))
            guard let columns = harness.plan.columnsByEmit[rows.emit(of: row)].columns else { continue }
            #expect(columns == values.columns.map(\.name))
            for (number, column) in values.columns.enumerated() {
                bytes = []
                rows.appendText(of: row, column: number, to: &bytes)
                let text = String(decoding: bytes, as: UTF8.self)
                switch column.value {
                case .text(let value): #expect(text == value)
                case .time(let value): #expect(text == value.description)
                default:
                    var json: [UInt8] = []
                    column.value.appendJSON(to: &json)
                    #expect(text == String(decoding: json, as: UTF8.self))
                }
            }
        }
    }
}
