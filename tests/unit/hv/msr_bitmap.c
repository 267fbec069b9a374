/* The MSR bitmap, against SDM 3C 25.6.9: which bit stands for which MSR, and what may be clear. */
#include "vmx/msr_bitmap.h"

#include "check.h"

enum { SIZE = 4096, READS_HIGH = 1024, WRITES_LOW = 2048, WRITES_HIGH = 3072 };

static unsigned clear_bits(const uint8_t *bitmap) {
    unsigned count = 0;
    for (unsigned i = 0; i < SIZE; i++) {
        count += 8 - (unsigned)__builtin_popcount(bitmap[i]);
    }
    return count;
}

static bool exits(const uint8_t *bitmap, unsigned part, uint32_t bit) {
    return bitmap[part + bit / 8] >> bit % 8 & 1;
}

void check_everything_exits_without_a_rule(void) {
    uint8_t bitmap[SIZE] = {0};
    msr_bitmap_fill(bitmap, 0, 0);
    expect_equal(clear_bits(bitmap), 0);
}

void check_a_direct_msr_exits_neither_for_reads_nor_for_writes(void) {
    const struct msr_rule rules[] = {{0x174, 0x176, MSR_DIRECT, 0},
                                     {0xc0000081, 0xc0000081, MSR_DIRECT, 0}};
    uint8_t bitmap[SIZE];
    msr_bitmap_fill(bitmap, rules, 2);
    for (uint32_t msr = 0x174; msr <= 0x176; msr++) {
        expect(!exits(bitmap, 0, msr));
        expect(!exits(bitmap, WRITES_LOW, msr));
    }
    expect(!exits(bitmap, READS_HIGH, 0x81));
    expect(!exits(bitmap, WRITES_HIGH, 0x81));
    expect_equal(clear_bits(bitmap), 8);
}

void check_other_kinds_of_rule_always_exit(void) {
    const struct msr_rule rules[] = {{0x1b, 0x1b, MSR_CONSTANT, 0},
                                     {0x8b, 0x8b, MSR_IGNORED, 0},
                                     {0xc0000080, 0xc0000080, MSR_EMULATED, 0}};
    uint8_t bitmap[SIZE];
    msr_bitmap_fill(bitmap, rules, 3);
    expect_equal(clear_bits(bitmap), 0);
}

void check_the_first_and_last_msr_of_each_range_have_bits_and_their_neighbours_none(void) {
    const struct msr_rule rules[] = {{0, 0, MSR_DIRECT, 0},
                                     {0x1fff, 0x2000, MSR_DIRECT, 0},
                                     {0xbfffffff, 0xc0000000, MSR_DIRECT, 0},
                                     {0xc0001fff, 0xc0002000, MSR_DIRECT, 0},
                                     {0xfffffffe, 0xfffffffe, MSR_DIRECT, 0}};
    uint8_t bitmap[SIZE];
    msr_bitmap_fill(bitmap, rules, 5);
    expect(!exits(bitmap, 0, 0));
    expect(!exits(bitmap, 0, 0x1fff));
    expect(!exits(bitmap, WRITES_HIGH, 0));
    expect(!exits(bitmap, WRITES_HIGH, 0x1fff));
    expect_equal(clear_bits(bitmap), 8);
}
