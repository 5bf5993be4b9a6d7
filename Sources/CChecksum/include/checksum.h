#ifndef HEADEND_CHECKSUM_H
#define HEADEND_CHECKSUM_H
#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `length` bytes, continued from `crc`
/// (0 to begin). Uses the processor's instruction where there is one, a table elsewhere.
uint32_t headend_crc32c(uint32_t crc, const void *bytes, size_t length);

/// The table version, always available: the tests hold the two against each other.
uint32_t headend_crc32c_table(uint32_t crc, const void *bytes, size_t length);

#endif
