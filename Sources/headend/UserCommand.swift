import Access
import ArgumentParser
import Glibc
import Hub
import Platform

/// The users' file.
struct UserCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "user", abstract: "Users and their passwords: the file behind `users:`.",
        discussion: """
            Passwords come from a prompt, or a line each from standard input, never from the command line. The file \
            keeps only their scrypt hashes. A running hub reads it again on SIGHUP.
            """,
        subcommands: [Add.self, Remove.self, Password.self, List.self])

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Add a user; the file is made when it is not there.",
            discussion: "Example: headend user add pump-1 --file users < password.txt")

        @Argument(help: "The user's name.") var name: String
        @OptionGroup var options: UserOptions
        @OptionGroup var cost: CostOption

        func run() async throws {
            try options.change(name, cost) { isThere in
                if isThere {
                    throw Failure.input(
                        "\(options.file): the user \"\(name)\" is there; use headend user passwd")
                }
            }
        }
    }

    struct Password: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "passwd", abstract: "Give a user another password.",
            discussion: "Example: headend user passwd pump-1 --file users")

        @Argument(help: "The user's name.") var name: String
        @OptionGroup var options: UserOptions
        @OptionGroup var cost: CostOption

        func run() async throws {
            try options.change(name, cost) { isThere in
                if !isThere { throw options.unknown(name) }
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove a user. Connections that it has stay until they end.",
            discussion: "Example: headend user remove pump-1 --file users")

        @Argument(help: "The user's name.") var name: String
        @OptionGroup var options: UserOptions

        func run() async throws {
            try options.locked { text in
                guard try options.table(text)[name] != nil else { throw options.unknown(name) }
                return UserTable.text(text, setting: name, to: nil)
            }
            Console.line("removed \(name)")
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "One name a line.", discussion: "Example: headend user list --file users")

        @OptionGroup var options: UserOptions

        func run() async throws {
            for name in try UserOptions.read(options.file).names { Console.line(name) }
        }
    }
}

struct CostOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "How much a check of the password costs, \(PasswordHash.costs.lowerBound) to "
                + "\(PasswordHash.costs.upperBound): each step doubles it; 14 takes 16 MiB and some 40 ms, 10 is "
                + "enough for long random passwords.", valueName: "n"))
    var cost = PasswordHash.costDefault

    func validate() throws {
        guard PasswordHash.costs.contains(cost) else {
            throw ValidationError(
                "--cost \(cost): is \(PasswordHash.costs.lowerBound) to \(PasswordHash.costs.upperBound)")
        }
    }
}

/// The users' file of a command.
struct UserOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("The users' file.", valueName: "file")) var file: String

    static func read(_ path: String) throws -> UserTable {
        do {
            return try UserFile.read(path)
        } catch let problems as UserFile.Problems {
            throw Failure.input(problems.description)
        } catch {
            throw Failure.environment(error)
        }
    }

    func table(_ text: String) throws -> UserTable {
        do throws(UserTable.Problems) {
            return try UserTable(text)
        } catch {
            throw Failure.input(
                error.lines.map { "\(file):\($0.number): \($0.text)" }.joined(separator: "\n"))
        }
    }

    func unknown(_ name: String) -> Failure {
        .input("\(file): there is no user \"\(name)\"; headend user list --file \(file) shows all")
    }

    /// Sets a user's password, asked for after `check` has agreed.
    func change(_ name: String, _ cost: CostOption, _ check: (Bool) throws -> Void) throws {
        if let problem = UserTable.problem(withName: name) { throw Failure.input(problem) }
        if let text = try? String(decoding: PosixFileStore().contents(of: file), as: UTF8.self) {
            try check(try table(text)[name] != nil)
        }
        let hash: PasswordHash
        do throws(PasswordProblem) {
            let salt: [UInt8] = (0..<PasswordHash.saltBytes).map { _ in .random(in: .min ... .max) }
            hash = try PasswordHash(password: try PasswordPrompt.read(for: name), salt: salt, cost: cost.cost)
        } catch {
            throw Failure.input(error.description)
        }
        try locked { text in
            try check(try table(text)[name] != nil)
            return UserTable.text(text, setting: name, to: hash)
        }
        Console.line("\(name) is in \(file)")
    }

    /// Changes the file as one step, one command after the other: the lock is on its folder.
    func locked(_ change: (String) throws -> String) throws {
        let folder = open(PosixFileStore.directory(of: file), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { if folder >= 0 { close(folder) } }
        if folder >= 0 { flock(folder, LOCK_EX) }
        let files = PosixFileStore()
        do {
            let isThere = files.exists(file)
            let before = isThere ? String(decoding: try files.contents(of: file), as: UTF8.self) : ""
            let after = try change(before)
            var status = stat()
            let hadStatus = isThere && stat(file, &status) == 0
            // Hashes are nobody else's business; a file that is there keeps who may read it.
            umask(0o077)
            try files.replace(file, with: Array(after.utf8))
            if hadStatus {
                _ = chown(file, status.st_uid, status.st_gid)
                chmod(file, status.st_mode & 0o777)
            }
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure.environment(error)
        }
    }
}

/// Reads a password without showing it.
enum PasswordPrompt {
    /// From the terminal, twice; else the first line of standard input.
    static func read(for name: String) throws(PasswordProblem) -> [UInt8] {
        guard isatty(0) == 1 else { return try line() }
        var settings = termios()
        tcgetattr(0, &settings)
        var hidden = settings
        hidden.c_lflag &= ~tcflag_t(ECHO)
        tcsetattr(0, TCSAFLUSH, &hidden)
        defer { tcsetattr(0, TCSAFLUSH, &settings) }
        while true {
            Console.prompt("Password of \(name): ")
            let first = try line()
            Console.prompt("\nAgain: ")
            let second = try line()
            Console.prompt("\n")
            if first == second { return first }
            Console.prompt("They differ.\n")
        }
    }

    private static func line() throws(PasswordProblem) -> [UInt8] {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while Glibc.read(0, &byte, 1) == 1, byte != 0x0A {
            bytes.append(byte)
            if bytes.count > PasswordHash.passwordBytesMax + 1 { throw .passwordLength }
        }
        if bytes.last == 0x0D { bytes.removeLast() }
        if bytes.isEmpty { throw .passwordLength }
        return bytes
    }
}
