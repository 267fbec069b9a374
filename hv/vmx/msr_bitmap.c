#include "vmx/msr_bitmap.h"

/* Four KiB: reads of 0 to 1FFFH, reads of C0000000H to C0001FFFH, then writes of the same. */
enum { HIGH = 1024, WRITES = 2048, RANGE = 0x2000, BITMAP_SIZE = 4096 };
#define FIRST_HIGH 0xc0000000u

static void let_through(uint8_t *bitmap, uint32_t msr) {
    uint32_t offset = msr >= FIRST_HIGH ? HIGH : 0,
             bit = msr >= FIRST_HIGH ? msr - FIRST_HIGH : msr;
    if (bit < RANGE) { /* others always exit: there is no bit for them */
        bitmap[offset + bit / 8] &= (uint8_t)~(1u << bit % 8);
        bitmap[WRITES + offset + bit / 8] &= (uint8_t)~(1u << bit % 8);
    }
}

void msr_bitmap_fill(uint8_t bitmap[4096], const struct msr_rule *rules, unsigned count) {
    for (unsigned i = 0; i < BITMAP_SIZE; i++) {
        bitmap[i] = 0xff;
    }
    for (unsigned i = 0; i < count; i++) {
        for (uint32_t msr = rules[i].first; rules[i].kind == MSR_DIRECT && msr <= rules[i].last;
             msr++) {
            let_through(bitmap, msr);
        }
    }
}
