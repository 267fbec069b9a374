/* Accessed and dirty flags. */
#include <string.h>

#include "ept_fixture.h"

enum { ACCESSED = 1 << 8, DIRTY = 1 << 9 };

void check_flags_are_not_for_a_processor_without_them(void) {
    struct nested ept = ept_with(CAP_ALL & ~CAP_AD);
    uint64_t count;
    expect_equal(nested_map(&ept, 0, 0, 2 * MIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect_equal(nested_take_dirty(&ept, 0, 4096, NULL, &count), NESTED_NOT_SUPPORTED);
    expect_equal(nested_take_accessed(&ept, 0, 4096, NULL, &count), NESTED_NOT_SUPPORTED);
    ept_done(&ept);
}

void check_dirty_pages_are_reported_once(void) {
    struct nested ept = ept_with(CAP_BASE | CAP_AD);
    uint64_t bitmap[9] = {0}, count;
    expect_equal(nested_map(&ept, MIB, 0, 2 * MIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    static const unsigned dirty[] = {0, 1, 63, 64, 127, 128, 511};
    for (unsigned i = 0; i < 7; i++) {
        *ept_last_entry(&ept, MIB + dirty[i] * 4096ull) |= DIRTY | ACCESSED;
    }
    expect_equal(nested_take_dirty(&ept, MIB, 2 * MIB, bitmap, &count), NESTED_OK);
    expect_equal(count, 7);
    expect(ept.stale);
    expect_equal(bitmap[0], 1ull << 63 | 3);
    expect_equal(bitmap[1], 1ull << 63 | 1);
    expect_equal(bitmap[2], 1);
    expect_equal(bitmap[7], 1ull << 63);
    expect_equal(bitmap[8], 0);

    ept.stale = false;
    memset(bitmap, 0, sizeof bitmap);
    expect_equal(nested_take_dirty(&ept, MIB, 2 * MIB, bitmap, &count), NESTED_OK);
    expect_equal(count, 0);
    expect_equal(bitmap[0], 0);
    expect(!ept.stale);
    expect_equal(nested_take_accessed(&ept, 0, 8 * MIB, NULL, &count),
                 NESTED_OK); /* holes and all */
    expect_equal(count, 7);
    expect_equal(nested_take_accessed(&ept, 0, 8 * MIB, NULL, &count), NESTED_OK);
    expect_equal(count, 0);
    ept_done(&ept);
}

void check_only_the_flags_of_the_range_are_taken(void) {
    struct nested ept = ept_with(CAP_BASE | CAP_AD);
    uint64_t bitmap = 0, count;
    expect_equal(nested_map(&ept, 0, 0, MIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    for (uint64_t page = 0; page < 8; page++) {
        *ept_last_entry(&ept, page * 4096) |= DIRTY;
    }
    expect_equal(nested_take_dirty(&ept, 2 * 4096, 3 * 4096, &bitmap, &count), NESTED_OK);
    expect_equal(count, 3);
    expect_equal(bitmap, 7); /* bit 0 is the range's first page */
    bitmap = 1ull << 40;
    expect_equal(nested_take_dirty(&ept, 0, 16 * 4096, &bitmap, &count), NESTED_OK);
    expect_equal(count, 5);
    expect_equal(bitmap, 1ull << 40 | 0xe3);
    ept_done(&ept);
}

void check_a_large_page_reported_in_part_stays_dirty(void) {
    struct nested ept = ept_with(CAP_ALL);
    uint64_t bitmap[8] = {0}, count;
    expect_equal(nested_map(&ept, 0, 0, 4 * MIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    *ept_last_entry(&ept, 0) |= DIRTY;
    expect_equal(nested_take_dirty(&ept, 4096, 8192, bitmap, &count), NESTED_OK);
    expect_equal(count, 2);
    expect_equal(bitmap[0], 3);
    expect(!ept.stale);
    expect_equal(nested_take_dirty(&ept, 0, 2 * MIB, bitmap, &count), NESTED_OK);
    expect_equal(count, 512);
    expect_equal(bitmap[7], UINT64_MAX);
    expect_equal(nested_take_dirty(&ept, 0, 4 * MIB, NULL, &count), NESTED_OK);
    expect_equal(count, 0);
    ept_done(&ept);
}

void check_splitting_and_merging_lose_no_flag(void) {
    struct nested ept = ept_with(CAP_ALL);
    uint64_t count;
    expect_equal(nested_map(&ept, 0, 0, GIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    *ept_last_entry(&ept, 0) |= DIRTY | ACCESSED;
    expect_equal(nested_protect(&ept, 4096, 4096, NESTED_READ), NESTED_OK);
    expect(*ept_last_entry(&ept, 0) & DIRTY); /* any of the parts may have been meant */
    expect(*ept_last_entry(&ept, 4096) & DIRTY);
    expect(*ept_last_entry(&ept, GIB - 1) & DIRTY);
    expect_equal(nested_take_dirty(&ept, 0, GIB, NULL, &count), NESTED_OK);
    expect_equal(count, GIB / 4096);

    *ept_last_entry(&ept, 8192) |= DIRTY;
    expect_equal(nested_protect(&ept, 4096, 4096, NESTED_RWX), NESTED_OK);
    expect_equal(nested_walk(&ept, 0).page_size, GIB);
    expect(*ept_last_entry(&ept, 0) & DIRTY);
    expect(*ept_last_entry(&ept, 0) & ACCESSED);
    ept_done(&ept);
}
