/* Mapping, permissions, types, page sizes, splitting and merging. */
#include "ept_fixture.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void expect_page(const struct nested *ept, uint64_t guest, uint64_t host,
                        unsigned permissions, uint64_t page_size) {
    struct nested_walk walk = nested_walk(ept, guest);
    expect(walk.mapped);
    expect(!walk.misconfigured);
    expect_equal(walk.host, host);
    expect_equal(walk.permissions, permissions);
    expect_equal(walk.page_size, page_size);
}

void check_ept_does_not_start_without_what_it_needs(void) {
    struct nested ept;
    expect(!ept_start(&ept, CAP_ALL & ~(1ull << 6), 40));                 /* 4-level walks */
    expect(!ept_start(&ept, CAP_ALL & ~(1ull << 8) & ~(1ull << 14), 40)); /* WB or UC tables */
    expect(!ept_start(&ept, CAP_ALL, 31));
    expect(!ept_start(&ept, CAP_ALL, 53));
    expect(!ept_start(&ept, CAP_ALL, 0));
    expect(!ept_start(&ept, 0, 40));
    stand_in_pages_fail_after(0);
    expect(!ept_start(&ept, CAP_ALL, 40));
    nested_stop(&ept); /* what did not start can be stopped */
    expect_equal(stand_in_pages_live(), 0);
}

void check_no_page_is_larger_than_it_may_be(void) {
    static const uint64_t limits[] = {4096, 2 * MIB, GIB, 4 * GIB};
    static const uint64_t sizes[] = {4096, 2 * MIB, GIB, GIB};
    for (unsigned i = 0; i < COUNT(limits); i++) {
        struct nested ept = ept_with(CAP_ALL);
        nested_limit_pages(&ept, limits[i]);
        expect_equal(nested_map(&ept, 0, 4 * GIB, GIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
        expect_page(&ept, GIB - 1, 5 * GIB - 1, NESTED_RWX, sizes[i]);
        ept_done(&ept);
    }
    struct nested ept = ept_with(CAP_ALL & ~CAP_2M);
    nested_limit_pages(&ept, GIB);
    expect(!ept.has_2m_pages && !ept.has_1g_pages); /* nobody gets what the processor lacks */
    ept_done(&ept);
}

void check_the_ept_pointer_says_type_levels_and_flags(void) {
    struct nested ept = ept_with(CAP_ALL);
    expect_equal(ept_pointer(&ept), (uint64_t)ept.root | 1 << 6 | 3 << 3 | 6);
    ept_done(&ept);
    ept = ept_with((CAP_ALL & ~CAP_AD) & ~(1ull << 14));
    expect_equal(ept_pointer(&ept), (uint64_t)ept.root | 3 << 3 | 0);
    ept_done(&ept);
}

void check_a_walk_shows_every_entry_on_the_way(void) {
    struct nested ept = ept_with(CAP_ALL);
    uint64_t guest = (1ull << 39) + 3 * GIB + 5 * 2 * MIB + 7 * 4 * KIB;
    expect_equal(nested_map(&ept, guest, 0x123456000, 4096, NESTED_READ | NESTED_WRITE, MEMORY_WT),
                 NESTED_OK);
    struct nested_walk walk = nested_walk(&ept, guest + 0xabc);
    expect(walk.mapped && !walk.misconfigured);
    expect_equal(walk.levels, 4);
    expect_equal(walk.host, 0x123456abc);
    expect_equal(walk.permissions, NESTED_READ | NESTED_WRITE);
    expect_equal(walk.type, MEMORY_WT);
    expect_equal(walk.page_size, 4096);
    expect_equal(walk.entries[0], ept.root[1]);
    expect_equal(walk.entries[1], ((uint64_t *)(walk.entries[0] & ~0xfffull))[3]);
    expect_equal(walk.entries[2], ((uint64_t *)(walk.entries[1] & ~0xfffull))[5]);
    expect_equal(walk.entries[3], 0x123456000 | MEMORY_WT << 3 | 3);
    expect(!nested_walk(&ept, guest + 4096).mapped);
    expect(!nested_walk(&ept, guest - 1).mapped);
    expect_equal(stand_in_pages_live(), 4);
    ept_done(&ept);
}

void check_a_walk_says_how_big_the_hole_is(void) {
    struct nested ept = ept_with(CAP_ALL);
    expect_equal(nested_walk(&ept, 0).levels, 1);
    expect_equal(nested_walk(&ept, 0).page_size, 512 * GIB);
    expect_equal(nested_map(&ept, 4096, 0, 4096, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect_equal(nested_walk(&ept, 0).page_size, 4 * KIB);
    expect_equal(nested_walk(&ept, 2 * MIB).page_size, 2 * MIB);
    expect_equal(nested_walk(&ept, GIB).page_size, GIB);
    expect_equal(nested_walk(&ept, GIB).permissions, 0);
    ept_done(&ept);
}

void check_an_address_above_48_bits_leads_nowhere(void) {
    struct nested ept = ept_with(CAP_ALL);
    expect_equal(nested_map(&ept, 0, 0, GIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect(!nested_walk(&ept, 1ull << 48).mapped);
    expect(!nested_walk(&ept, UINT64_MAX).mapped);
    ept_done(&ept);
}

void check_pages_are_as_large_as_capabilities_permit(void) {
    struct nested ept = ept_with(CAP_ALL);
    expect_equal(nested_map(&ept, GIB, 4 * GIB, GIB + 2 * MIB + 4096, NESTED_RWX, MEMORY_WB),
                 NESTED_OK);
    expect_page(&ept, GIB + 0x12345, 4 * GIB + 0x12345, NESTED_RWX, GIB);
    expect_page(&ept, 2 * GIB, 5 * GIB, NESTED_RWX, 2 * MIB);
    expect_page(&ept, 2 * GIB + 2 * MIB, 5 * GIB + 2 * MIB, NESTED_RWX, 4096);
    expect_equal(stand_in_pages_live(), 4);
    ept_done(&ept);

    ept = ept_with(CAP_ALL & ~CAP_1G);
    expect_equal(nested_map(&ept, GIB, 4 * GIB, GIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect_page(&ept, 2 * GIB - 1, 5 * GIB - 1, NESTED_RWX, 2 * MIB);
    ept_done(&ept);

    ept = ept_with(CAP_ALL & ~CAP_1G & ~CAP_2M);
    expect_equal(nested_map(&ept, 0, 0, 4 * MIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect_page(&ept, 3 * MIB, 3 * MIB, NESTED_RWX, 4096);
    ept_done(&ept);

    ept = ept_with(CAP_ALL & ~CAP_2M); /* 1G pages that could never be split are not used */
    expect_equal(nested_map(&ept, 0, 0, GIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect_page(&ept, 0, 0, NESTED_RWX, 4096);
    expect_equal(nested_unmap(&ept, 4096, 4096), NESTED_OK);
    ept_done(&ept);
}

void check_both_addresses_must_be_aligned_for_a_large_page(void) {
    struct nested ept = ept_with(CAP_ALL);
    expect_equal(nested_map(&ept, 0, 4096, 4 * MIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect_page(&ept, 2 * MIB, 2 * MIB + 4096, NESTED_RWX, 4096);
    expect_equal(nested_map(&ept, GIB, 2 * MIB, GIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect_page(&ept, GIB, 2 * MIB, NESTED_RWX, 2 * MIB);
    ept_done(&ept);
}

void check_only_legal_permissions_are_given(void) {
    struct nested with = ept_with(CAP_ALL), without;
    expect(ept_start(&without, CAP_ALL & ~CAP_EXECUTE_ONLY, ADDRESS_BITS));
    for (unsigned permissions = 0; permissions < 16; permissions++) {
        bool readable = permissions < 8 && permissions & NESTED_READ;
        uint64_t guest = permissions * 4096ull;
        enum nested_result wanted =
            readable || permissions == NESTED_EXECUTE ? NESTED_OK : NESTED_BAD_PERMISSION;
        expect_equal(nested_map(&with, guest, 0, 4096, permissions, MEMORY_WB), wanted);
        expect_equal(nested_walk(&with, guest).mapped, wanted == NESTED_OK);
        expect(!nested_walk(&with, guest).misconfigured);
        expect_equal(nested_walk(&with, guest).permissions, wanted == NESTED_OK ? permissions : 0);

        wanted = readable ? NESTED_OK : NESTED_BAD_PERMISSION;
        expect_equal(nested_map(&without, guest, 0, 4096, permissions, MEMORY_WB), wanted);
        expect(!nested_walk(&without, guest).misconfigured);
    }
    expect_equal(nested_protect(&with, 7 * 4096, 4096, NESTED_EXECUTE), NESTED_OK);
    expect_equal(nested_protect(&without, 7 * 4096, 4096, NESTED_EXECUTE), NESTED_BAD_PERMISSION);
    expect_equal(nested_protect(&with, 7 * 4096, 4096, 0), NESTED_BAD_PERMISSION);
    expect_equal(nested_protect(&with, 7 * 4096, 4096, NESTED_WRITE), NESTED_BAD_PERMISSION);
    expect_equal(nested_protect(&with, 7 * 4096, 4096, NESTED_WRITE | NESTED_EXECUTE),
                 NESTED_BAD_PERMISSION);
    expect_equal(nested_walk(&without, 7 * 4096).permissions, NESTED_RWX);
    nested_stop(&without);
    ept_done(&with);
}

void check_only_defined_memory_types_are_given(void) {
    struct nested ept = ept_with(CAP_ALL);
    for (unsigned type = 0; type < 16; type++) {
        bool defined = type == 0 || type == 1 || (type >= 4 && type <= 6);
        uint64_t guest = type * 2 * MIB;
        expect_equal(nested_map(&ept, guest, 0, 2 * MIB, NESTED_RWX, (enum memory_type)type),
                     defined ? NESTED_OK : NESTED_BAD_TYPE);
        struct nested_walk walk = nested_walk(&ept, guest);
        expect_equal(walk.mapped, defined);
        expect(!defined || walk.type == type);
    }
    ept_done(&ept);
}

void check_a_large_page_is_split_when_part_of_it_changes(void) {
    struct nested ept = ept_with(CAP_ALL);
    expect_equal(nested_map(&ept, 0, GIB, GIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect_equal(stand_in_pages_live(), 2);
    expect_equal(nested_protect(&ept, 6 * MIB + 4096, 4096, NESTED_READ), NESTED_OK);
    expect_equal(stand_in_pages_live(), 4);
    expect_page(&ept, 6 * MIB, GIB + 6 * MIB, NESTED_RWX, 4096);
    expect_page(&ept, 6 * MIB + 4096, GIB + 6 * MIB + 4096, NESTED_READ, 4096);
    expect_page(&ept, 6 * MIB + 8192, GIB + 6 * MIB + 8192, NESTED_RWX, 4096);
    expect_page(&ept, 4 * MIB, GIB + 4 * MIB, NESTED_RWX, 2 * MIB);
    expect_page(&ept, 8 * MIB, GIB + 8 * MIB, NESTED_RWX, 2 * MIB);
    expect_page(&ept, GIB - 1, 2 * GIB - 1, NESTED_RWX, 2 * MIB);
    ept_done(&ept);
}

void check_pages_are_merged_again_when_nothing_tells_them_apart(void) {
    struct nested ept = ept_with(CAP_ALL);
    expect_equal(nested_map(&ept, 0, GIB, 2 * GIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    uint64_t before = ept_digest(&ept);
    expect_equal(nested_protect(&ept, GIB - 4096, 8192, NESTED_READ),
                 NESTED_OK); /* both of them split */
    expect_equal(stand_in_pages_live(), 6);
    expect_equal(nested_protect(&ept, GIB - 4096, 4096, NESTED_RWX), NESTED_OK);
    expect_equal(stand_in_pages_live(), 4);
    expect_equal(nested_protect(&ept, 0, 2 * GIB, NESTED_RWX), NESTED_OK);
    expect_equal(stand_in_pages_live(), 2);
    expect_equal(ept_digest(&ept), before);
    ept_done(&ept);
}

void check_what_is_mapped_piece_by_piece_is_merged_too(void) {
    struct nested ept = ept_with(CAP_ALL);
    for (uint64_t at = 0; at < GIB; at += 2 * MIB) { /* each in two halves, the upper one first */
        expect_equal(nested_map(&ept, at + MIB, GIB + at + MIB, MIB, NESTED_RWX, MEMORY_WB),
                     NESTED_OK);
        expect_equal(nested_map(&ept, at, GIB + at, MIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    }
    expect_page(&ept, 12345, GIB + 12345, NESTED_RWX, GIB);
    expect_equal(stand_in_pages_live(), 2);
    ept_done(&ept);
}

void check_pages_that_differ_are_not_merged(void) {
    static const struct {
        uint64_t host;
        unsigned permissions;
        enum memory_type type;
    } second[] = {{GIB + MIB, NESTED_RWX, MEMORY_WT},
                  {GIB + MIB, NESTED_READ, MEMORY_WB},
                  {GIB + 3 * MIB, NESTED_RWX, MEMORY_WB},
                  {GIB, NESTED_RWX, MEMORY_WB}};
    for (unsigned i = 0; i < COUNT(second); i++) {
        struct nested ept = ept_with(CAP_ALL);
        expect_equal(nested_map(&ept, 0, GIB, MIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
        expect_equal(
            nested_map(&ept, MIB, second[i].host, MIB, second[i].permissions, second[i].type),
            NESTED_OK);
        expect_page(&ept, 0, GIB, NESTED_RWX, 4096);
        expect_page(&ept, MIB, second[i].host, second[i].permissions, 4096);
        ept_done(&ept);
    }
}

void check_unmapping_part_leaves_the_rest(void) {
    struct nested ept = ept_with(CAP_ALL);
    expect_equal(nested_map(&ept, 0, GIB, GIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect_equal(nested_unmap(&ept, 4 * MIB, 4 * MIB + 4096), NESTED_OK);
    expect(!nested_walk(&ept, 4 * MIB).mapped);
    expect(!nested_walk(&ept, 8 * MIB + 4095).mapped);
    expect_page(&ept, 4 * MIB - 1, GIB + 4 * MIB - 1, NESTED_RWX, 2 * MIB);
    expect_page(&ept, 8 * MIB + 4096, GIB + 8 * MIB + 4096, NESTED_RWX, 4096);
    expect_equal(stand_in_pages_live(), 4);
    expect_equal(nested_map(&ept, 4 * MIB, GIB + 4 * MIB, 4 * MIB + 4096, NESTED_RWX, MEMORY_WB),
                 NESTED_OK);
    expect_page(&ept, 0, GIB, NESTED_RWX, GIB); /* what fits in again is one page again */
    ept_done(&ept);
}

void check_unmapping_the_last_page_frees_its_tables(void) {
    struct nested ept = ept_with(CAP_ALL);
    uint64_t top = (1ull << 48) - 4096;
    expect_equal(nested_map(&ept, top, 0, 4096, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect_equal(nested_map(&ept, 0, 0, 4096, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect_equal(stand_in_pages_live(), 7);
    expect_equal(nested_unmap(&ept, top, 4096), NESTED_OK);
    expect_equal(stand_in_pages_live(), 4);
    expect_equal(nested_unmap(&ept, 0, 4096), NESTED_OK);
    expect_equal(stand_in_pages_live(), 1);
    ept_done(&ept);
}

void check_stopping_frees_every_table(void) {
    struct nested ept = ept_with(CAP_ALL);
    for (uint64_t i = 0; i < 200; i++) {
        expect_equal(
            nested_map(&ept, random_below(1ull << 36) << 12, i << 12, 4096, NESTED_RWX, MEMORY_WB),
            NESTED_OK);
    }
    expect(stand_in_pages_live() > 200);
    ept_done(&ept);
    nested_stop(&ept); /* once more does no harm */
}

void check_nothing_tells_that_tables_are_stale_but_a_change_of_what_was_there(void) {
    struct nested ept = ept_with(CAP_ALL);
    expect_equal(nested_map(&ept, 0, 0, 4 * MIB, NESTED_READ, MEMORY_WB), NESTED_OK);
    expect(!ept.stale); /* 29.4.3.4: not-present entries are never cached */
    expect_equal(nested_protect(&ept, 0, 4 * MIB, NESTED_RWX), NESTED_OK);
    expect(!ept.stale); /* permissions added */
    expect_equal(nested_protect(&ept, 0, 2 * MIB, NESTED_RWX), NESTED_OK);
    expect(!ept.stale); /* nothing changed */
    expect_equal(nested_protect(&ept, 0, 2 * MIB, NESTED_READ | NESTED_EXECUTE), NESTED_OK);
    expect(ept.stale); /* one taken away */
    ept.stale = false;
    expect_equal(nested_unmap(&ept, 0, 2 * MIB), NESTED_OK);
    expect(ept.stale);
    ept.stale = false;
    expect_equal(nested_protect(&ept, 3 * MIB, 4096, NESTED_RWX), NESTED_OK);
    expect(ept.stale); /* a page was split, and merged */
    nested_stop(&ept);
    expect(ept.stale);
}
