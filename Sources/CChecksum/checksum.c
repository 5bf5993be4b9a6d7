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
}

uint32_t headend_crc32c(uint32_t crc, const void *bytes, size_t length) { return chosen(crc, bytes, length); }
