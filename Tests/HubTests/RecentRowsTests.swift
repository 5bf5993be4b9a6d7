import Testing

@testable import Hub

@Suite struct RecentRowsTests {
    @Test(
        "The last hundred rows are shown, oldest first, however many there were",
        arguments: [0, 1, 99, 100, 101, 199, 200, 201, 1_000])
    func last(count: Int) {
        var rows = RecentRows()
        for number in 0..<count {
            rows.append(Array(String(repeating: "x", count: number % 7).utf8) + "\(number)".utf8)
        }
        let expected = (max(count - 100, 0)..<count).map { String(repeating: "x", count: $0 % 7) + "\($0)" }
        #expect(rows.texts == expected)
    }

    @Test("A row that is too long for a status is left out")
    func tooLong() {
        var rows = RecentRows()
        rows.append(Array("a".utf8))
        rows.append([UInt8](repeating: 0x61, count: 1 << 17))
        rows.append(Array("b".utf8))
        #expect(rows.texts == ["a", "b"])
    }
}
