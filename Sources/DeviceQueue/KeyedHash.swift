/// The 64-bit keyed hash of (device, message id): a hot-path file with raw pointers; the caller vouches for
/// `byteCount` readable bytes.
///
/// In the manner of wyhash (Wang Yi, public domain): 64 × 64 → 128-bit multiplications, folded. It is kept in
/// memory only, so it may change between versions. The key keeps peers from choosing ids that collide; a
/// collision costs time, never a wrong answer, because the stored record decides.
enum KeyedHash {
    private static let first: UInt64 = 0xA076_1D64_78BD_642F
    private static let second: UInt64 = 0xE703_7ED1_A0B4_28DB

    /// - Returns: never 0, which marks an empty slot.
    @inline(__always)
    static func hash(_ bytes: UnsafeRawPointer, _ byteCount: Int, device: UInt32, key: UInt64) -> UInt64 {
        var seed = folded(key ^ UInt64(device) ^ first, UInt64(truncatingIfNeeded: byteCount) ^ second)
        let low: UInt64
        let high: UInt64
        if byteCount <= 16 {
            if byteCount >= 4 {
                let step = (byteCount >> 3) << 2
                low = four(bytes, 0) << 32 | four(bytes, step)
                high = four(bytes, byteCount - 4) << 32 | four(bytes, byteCount - 4 - step)
            } else if byteCount > 0 {
                low =
                    UInt64(bytes.load(as: UInt8.self)) << 16
                    | UInt64(bytes.load(fromByteOffset: byteCount >> 1, as: UInt8.self)) << 8
                    | UInt64(bytes.load(fromByteOffset: byteCount - 1, as: UInt8.self))
                high = 0
            } else {
                (low, high) = (0, 0)
            }
        } else {
            var at = 0
            while byteCount - at > 16 {
                seed = folded(eight(bytes, at) ^ second, eight(bytes, at + 8) ^ seed)
                at += 16
            }
            low = eight(bytes, byteCount - 16)
            high = eight(bytes, byteCount - 8)
        }
        let result = folded(
            second ^ UInt64(truncatingIfNeeded: byteCount), folded(low ^ second, high ^ seed))
        return result == 0 ? 1 : result
    }

    @inline(__always)
    private static func folded(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }

    @inline(__always)
    private static func eight(_ bytes: UnsafeRawPointer, _ at: Int) -> UInt64 {
        bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)
    }

    @inline(__always)
    private static func four(_ bytes: UnsafeRawPointer, _ at: Int) -> UInt64 {
        UInt64(bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self))
    }
}
