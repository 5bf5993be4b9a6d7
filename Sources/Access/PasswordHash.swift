import Crypto
import CryptoExtras
import FoundationEssentials

/// A password as the users' file keeps it: `$scrypt$ln=14,r=8,p=1$salt$hash`, the last two in Base64 (RFC 7914; the
/// notation is the PHC string format's).
package struct PasswordHash: Sendable, Equatable, CustomStringConvertible {
    /// Binary logarithm of the rounds: each step doubles time and memory.
    package let cost: Int
    private let blockSize: Int
    private let parallelism: Int
    private let salt: [UInt8]
    private let hash: [UInt8]

    /// 16 MiB and some 40 ms a check. Long random passwords of machines need less: 10 takes 1 MiB and 3 ms.
    package static let costDefault = 14
    /// From 1 MiB to 128 MiB a check.
    package static let costs = 10...17
    /// Bytes of a password at most; MQTT allows 65,535.
    package static let passwordBytesMax = 1_024
    package static let saltBytes = 16
    private static let hashBytes = 32

    /// Makes the hash of a new password. Blocks for as long as a check takes.
    ///
    /// - Parameter salt: `saltBytes` random bytes.
    package init(password: [UInt8], salt: [UInt8], cost: Int = costDefault) throws(PasswordProblem) {
        guard !password.isEmpty, password.count <= Self.passwordBytesMax else { throw .passwordLength }
        precondition(Self.costs.contains(cost))
        precondition(salt.count == Self.saltBytes)
        self.cost = cost
        blockSize = 8
        parallelism = 1
        self.salt = salt
        guard let hash = Self.derive(password, salt, cost: cost, blockSize: 8, parallelism: 1) else {
            throw .derivationFailed
        }
        self.hash = hash
    }

    /// Reads what `description` wrote.
    ///
    /// - Returns: nil when it is not such a text, or asks for more memory than a check may take.
    package init?(_ text: String) {
        let fields = text.split(separator: "$", omittingEmptySubsequences: false)
        guard fields.count == 5, fields[0].isEmpty, fields[1] == "scrypt" else { return nil }
        var numbers: [Int] = []
        for (part, name) in zip(fields[2].split(separator: ","), ["ln=", "r=", "p="]) {
            guard part.hasPrefix(name), let number = Int(part.dropFirst(name.count)) else { return nil }
            numbers.append(number)
        }
        guard numbers.count == 3, fields[2].split(separator: ",").count == 3, Self.costs.contains(numbers[0]),
            numbers[1] == 8, (1...4).contains(numbers[2]),
            let salt = Data(base64Encoded: String(fields[3])), (8...64).contains(salt.count),
            let hash = Data(base64Encoded: String(fields[4])), hash.count == Self.hashBytes
        else { return nil }
        cost = numbers[0]
        blockSize = numbers[1]
        parallelism = numbers[2]
        self.salt = Array(salt)
        self.hash = Array(hash)
    }

    /// Whether it is this password. Blocks: some 40 ms and 16 MiB at the default cost.
    package func matches(_ password: [UInt8]) -> Bool {
        guard !password.isEmpty, password.count <= Self.passwordBytesMax,
            let other = Self.derive(
                password, salt, cost: cost, blockSize: blockSize, parallelism: parallelism)
        else { return false }
        // In a time that does not depend on where they differ.
        var difference: UInt8 = 0
        for (left, right) in zip(hash, other) { difference |= left ^ right }
        return difference == 0 && hash.count == other.count
    }

    package var description: String {
        "$scrypt$ln=\(cost),r=\(blockSize),p=\(parallelism)$\(Data(salt).base64EncodedString())"
            + "$\(Data(hash).base64EncodedString())"
    }

    private static func derive(
        _ password: [UInt8], _ salt: [UInt8], cost: Int, blockSize: Int, parallelism: Int
    ) -> [UInt8]? {
        let key = try? KDF.Scrypt.deriveKey(
            from: password, salt: salt, outputByteCount: hashBytes, rounds: 1 << cost, blockSize: blockSize,
            parallelism: parallelism)
        return key?.withUnsafeBytes { Array($0) }
    }
}

/// Why a password cannot be used; none says what it is.
package enum PasswordProblem: Error, Equatable, CustomStringConvertible {
    /// The one who chose it can act.
    case passwordLength
    /// The machine has no memory for it.
    case derivationFailed

    package var description: String {
        switch self {
        case .passwordLength: "a password has 1 to \(PasswordHash.passwordBytesMax) bytes"
        case .derivationFailed: "the password could not be hashed: there is too little memory"
        }
    }
}
