#ifndef HEADEND_PREFETCH_H
#define HEADEND_PREFETCH_H

/// Asks the processor to fetch the cache line of an address that will be read and written soon, and does not wait for
/// it. Any address will do: one that is not there is passed over.
static inline void headend_prefetch(const void *address) { __builtin_prefetch(address, 1, 3); }

#endif
