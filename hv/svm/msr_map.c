#include "svm/msr_map.h"

/* Two bits an MSR, read then write; 2 KiB each for three ranges of 2000H MSRs. Others always exit. */
static void let_through(uint8_t *map, uint32_t msr) {
    static const uint32_t ranges[] = {0, 0xc0000000, 0xc0010000};
    enum { RANGE = 0x2000, RANGE_BYTES = 0x800, BITS = 2 };
    for (unsigned i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        uint32_t offset = msr - ranges[i];
        if (msr >= ranges[i] && offset < RANGE) {
            map[i * RANGE_BYTES + offset * BITS / 8] &= (uint8_t)~(3u << offset * BITS % 8);
        }
    }
}

void msr_map_fill(uint8_t map[MSR_MAP_SIZE], const struct msr_rule *rules, unsigned count) {
    for (unsigned i = 0; i < MSR_MAP_SIZE; i++) {
        map[i] = 0xff;
    }
    for (unsigned i = 0; i < count; i++) {
        for (uint32_t msr = rules[i].first; rules[i].kind == MSR_DIRECT && msr <= rules[i].last;
             msr++) {
            let_through(map, msr);
        }
    }
}
