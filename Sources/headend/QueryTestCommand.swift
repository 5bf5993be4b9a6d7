import ArgumentParser
import Platform
import QueryReplay

/// Test cases of a query.
struct QueryTestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test", abstract: "Run the test cases of a query: inputs and expected outputs.",
        discussion: """
            Reads a testConfig.json as Azure Stream Analytics has it (Script, TestCases with Inputs and \
            ExpectedOutputs); rows are compared without regard to their order. Exit status 0 when all cases pass, \
            1 when one does not, 2 when one cannot run.

            Example: headend query test tests/testConfig.json
            """)

    @Argument(help: "The configuration.") var file: String
    @Option(help: "Run only the cases whose name holds this text.") var only: String?

    func run() throws {
        do {
            let test = try QueryTest(path: file, files: PosixFileStore())
            let text = try QueryCommand.text(of: test.script)
            let cases = test.cases.filter { only.map($0.name.contains) ?? true }
            var failed = 0
            for each in cases {
                let outcome = try test.run(each, text: text)
                Console.line((outcome.passed ? "passed  " : "FAILED  ") + outcome.name)
                for line in outcome.differences { Console.line("        " + line) }
                if !outcome.passed { failed += 1 }
            }
            Console.line("\(cases.count - failed) of \(cases.count) passed")
            if failed > 0 { throw ExitCode(ExitStatus.failed.rawValue) }
        } catch let error as ReplayError {
            throw Failure(error)
        }
    }
}
