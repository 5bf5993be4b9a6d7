// CRC-32C by instruction (SSE4.2 on x86-64, the CRC extension on AArch64) with a table to fall back on.
#include "checksum.h"
#include <string.h>

static uint32_t table[256];

__attribute__((constructor)) static void make_table(void) {
    for (uint32_t index = 0; index < 256; index++) {
        uint32_t value = index;
        for (int bit = 0; bit < 8; bit++) {
            value = value & 1 ? (value >> 1) ^ 0x82F63B78u : value >> 1;
        }
        table[index] = value;
    }
}

uint32_t headend_crc32c_table(uint32_t crc, const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    crc = ~crc;
    while (length--) {
        crc = (crc >> 8) ^ table[(crc ^ *at++) & 255];
    }
    return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const void *bytes,
                                                                 size_t length) {
    const uint8_t *at = bytes;
    uint64_t state = ~crc;
    for (; length >= 8; length -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        state = _mm_crc32_u64(state, word);
    }
    uint32_t narrow = (uint32_t)state;
    while (length--) {
        narrow = _mm_crc32_u8(narrow, *at++);
    }
    return ~narrow;
}
static int has_instruction(void) { return __builtin_cpu_supports("sse4.2"); }

// One CRC instruction waits for the one before, three do not wait for each other: three parts of a block side by
// side, joined by carry-less multiplication. A state that has n more bits to come is worth state * x^n (mod P).
// The product of two bit-reflected 32-bit values stands one bit low, and the last instruction multiplies by x^32:
// so the factor for k words of 64 bits is x^(64k - 33).
#include <wmmintrin.h>
#define PART_WORDS_MIN 4
#define PART_WORDS_MAX 128
static uint32_t factors[2 * PART_WORDS_MAX + 1];

__attribute__((target("sse4.2"))) static void make_factors(void) {
    uint64_t factor = 1; // x^31, reflected
    for (int words = 1; words <= 2 * PART_WORDS_MAX; words++) {
        factors[words] = (uint32_t)factor;
        factor = _mm_crc32_u64(factor, 0);
    }
}

__attribute__((target("sse4.2,pclmul"))) static inline uint64_t product(uint64_t state, uint32_t factor) {
    __m128i result =
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)state), _mm_cvtsi32_si128((int)factor), 0);
    return (uint64_t)_mm_cvtsi128_si64(result);
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t in_three_parts(uint32_t crc, const void *bytes,
                                                                        size_t length) {
    const uint8_t *at = bytes;
    uint64_t state = ~crc;
    while (length >= 24 * PART_WORDS_MIN) {
        size_t words = length / 24 < PART_WORDS_MAX ? length / 24 : PART_WORDS_MAX;
        const uint8_t *first = at, *second = at + 8 * words, *third = at + 16 * words;
        uint64_t second_state = 0, third_state = 0, word;
        for (size_t index = 0; index + 1 < words; index++, first += 8, second += 8, third += 8) {
            memcpy(&word, first, 8);
            state = _mm_crc32_u64(state, word);
            memcpy(&word, second, 8);
            second_state = _mm_crc32_u64(second_state, word);
            memcpy(&word, third, 8);
            third_state = _mm_crc32_u64(third_state, word);
        }
        memcpy(&word, first, 8);
        state = _mm_crc32_u64(state, word);
        memcpy(&word, second, 8);
        second_state = _mm_crc32_u64(second_state, word);
        memcpy(&word, third, 8);
        word ^= product(state, factors[2 * words]) ^ product(second_state, factors[words]);
        state = _mm_crc32_u64(third_state, word);
        at += 24 * words;
        length -= 24 * words;
    }
    return by_instruction(~(uint32_t)state, at, length);
}
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
static uint32_t by_instruction(uint32_t crc, const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    crc = ~crc;
    for (; length >= 8; length -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        crc = __crc32cd(crc, word);
    }
    while (length--) {
        crc = __crc32cb(crc, *at++);
    }
    return ~crc;
}
static int has_instruction(void) { return 1; }
#else
static uint32_t by_instruction(uint32_t crc, const void *bytes, size_t length) {
    return headend_crc32c_table(crc, bytes, length);
}
static int has_instruction(void) { return 0; }
#endif

static uint32_t (*chosen)(uint32_t, const void *, size_t) = headend_crc32c_table;

__attribute__((constructor)) static void choose(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    if (has_instruction()) {
        chosen = by_instruction;
    }
#if defined(__x86_64__)
    if (has_instruction() && __builtin_cpu_supports("pclmul")) {
        make_factors();
        chosen = in_three_parts;
    }
#endif
}

uint32_t headend_crc32c(uint32_t crc, const void *bytes, size_t length) { return chosen(crc, bytes, length); }
