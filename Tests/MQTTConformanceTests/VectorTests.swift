import ConformanceKit
import MQTTWire
import Testing

@Suite("Conformance vectors in memory")
struct VectorTests {
    @Test("Every vector, in every version it is for, against codec, connection and broker")
    func memory() throws {
        let hub = try MemoryHub()
        var runs = 0
        for (index, vector) in try Vector.all().enumerated() {
            for version in vector.versions {
                runs += 1
                let runner = VectorRunner(host: hub, version: version, run: "m\(index)v\(version)")
                #expect(throws: Never.self) { try runner.run(vector) }
            }
        }
        #expect(runs >= 400)
    }

    @Test("Names of vectors are unique, and the malformed packets of the codec's corpus are not repeated")
    func names() throws {
        let names = try Vector.all().map(\.name)
        #expect(Set(names).count == names.count)
    }

    @Test("A vector that is not met fails, with its place")
    func red() throws {
        let cases = [
            "= a\na connect\na> C000\na< D001",
            "= a\na connect\na closed",
            "= a\na connect\na< D000",
            "= a\na connect resume",
            "= a\na connect\na> C000",
            "= a\na connect\nb connect\nb> 82 [ 0001 {} s\"~/t\" 00 ]\nb< 90 [ 0001 {} 00 ]\n"
                + "a> 30 [ s\"~/t\" {} \"x\" ]\nb quiet",
        ]
        let hub = try MemoryHub()
        for (index, text) in cases.enumerated() {
            for version in [3, 5] {
                let vector = try #require(try Vector.parse(text, file: "red.txt").first)
                let runner = VectorRunner(host: hub, version: version, run: "r\(index)v\(version)")
                #expect(throws: VectorRunner.Failure.self, "\(text)") { try runner.run(vector) }
            }
        }
    }
}
