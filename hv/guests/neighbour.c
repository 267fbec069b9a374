/*
 * Lives beside hostile guests: fills its memory with a pattern, watches it for many slices, and
 * reports whether any of it changed.
 */
#include "cpu/port.h"

#include "guests/runtime.h"

enum { START = 0x200000, END = 0x280000, TICKS = 1600000 };

static uint64_t checksum(void) {
    uint64_t sum = 14695981039346656037ull; /* FNV-1a, by words */
    for (const uint64_t *word = (const uint64_t *)START; word < (const uint64_t *)END; word++) {
        sum = (sum ^ *word) * 1099511628211ull;
    }
    return sum;
}

int guest_main(void) {
    uint64_t value = 0x9e3779b97f4a7c15;
    for (uint64_t *word = (uint64_t *)START; word < (uint64_t *)END; word++) {
        value ^= value << 13, value ^= value >> 7, value ^= value << 17;
        *word = value;
    }
    uint64_t before = checksum(), start = rdtsc();
    bool same = true;
    do {
        same = same && checksum() == before;
    } while (rdtsc() - start < TICKS);
    report(same, before);
    return same ? 0 : 1;
}
