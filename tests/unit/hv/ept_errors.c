/* What EPT refuses, that a refusal changes nothing, and misconfigurations. */
#include <string.h>

#include "ept_fixture.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const uint64_t TOP = 1ull << 48;

/* A map with pages of all sizes and holes of all sizes. */
static struct nested some_map(void) {
    struct nested ept = ept_with(CAP_ALL);
    expect_equal(nested_map(&ept, 0, 0, 4096, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect_equal(nested_map(&ept, 4 * MIB, 4 * MIB, 6 * MIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect_equal(nested_map(&ept, 4 * GIB, 4 * GIB, 2 * GIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect_equal(nested_map(&ept, TOP - 4096, 0, 4096, NESTED_RWX, MEMORY_WB), NESTED_OK);
    return ept;
}

static void expect_same(const struct nested *ept, uint64_t digest, uint64_t pages) {
    expect_equal(ept_digest(ept), digest);
    expect_equal(stand_in_pages_live(), pages);
}

void check_ranges_that_can_not_be_are_refused(void) {
    static const struct {
        uint64_t guest, bytes;
    } bad[] = {
        {0x10000, 0},
        {0x10001, 4096},
        {0x10000, 1},
        {0x10000, 4097},
        {0x10800, 0x800},
        {TOP, 4096},
        {TOP - 4096, 8192},
        {0, TOP + 4096},
        {1ull << 63, 4096},
        {4096, -(uint64_t)4096}, /* address + size is 0 */
        {8192, -(uint64_t)4096}, /* wraps to 4096 */
        {-(uint64_t)4096, 4096}, /* the last page of all */
        {-(uint64_t)4096, 8192},
        {4096, UINT64_MAX},
        {UINT64_MAX, UINT64_MAX},
        {4096, 1ull << 63},
    };
    struct nested ept = some_map();
    uint64_t digest = ept_digest(&ept), pages = stand_in_pages_live(), count;
    for (unsigned i = 0; i < COUNT(bad); i++) {
        uint64_t guest = bad[i].guest, bytes = bad[i].bytes;
        expect_equal(nested_map(&ept, guest, 0, bytes, NESTED_RWX, MEMORY_WB), NESTED_BAD_RANGE);
        expect_equal(nested_unmap(&ept, guest, bytes), NESTED_BAD_RANGE);
        expect_equal(nested_protect(&ept, guest, bytes, NESTED_READ), NESTED_BAD_RANGE);
        expect_equal(nested_take_dirty(&ept, guest, bytes, NULL, &count), NESTED_BAD_RANGE);
        expect_equal(count, 0);
        expect_same(&ept, digest, pages);
    }
    ept_done(&ept);
}

void check_host_addresses_beyond_maxphyaddr_are_refused(void) {
    static const struct {
        uint64_t host, bytes;
    } bad[] = {
        {1ull << ADDRESS_BITS, 4096},
        {(1ull << ADDRESS_BITS) - 4096, 8192},
        {-(uint64_t)4096, 4096},
        {-(uint64_t)4096, 8192},
        {0, (1ull << ADDRESS_BITS) + 4096},
        {1, 4096},
    };
    struct nested ept = ept_with(CAP_ALL);
    for (unsigned i = 0; i < COUNT(bad); i++) {
        expect_equal(nested_map(&ept, 0, bad[i].host, bad[i].bytes, NESTED_RWX, MEMORY_WB),
                     NESTED_BAD_RANGE);
        expect_equal(stand_in_pages_live(), 1);
    }
    uint64_t last = (1ull << ADDRESS_BITS) - 4096;
    expect_equal(nested_map(&ept, 0, last, 4096, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect_equal(nested_walk(&ept, 1).host, last + 1);
    ept_done(&ept);
}

void check_what_overlaps_is_refused(void) {
    static const struct {
        uint64_t guest, bytes;
    } bad[] = {
        {0, 4096},                 /* the same */
        {0, 2 * GIB},              /* its first page */
        {2 * MIB, 2 * MIB + 4096}, /* its last page */
        {4096, 8 * MIB},           /* its middle */
        {4 * MIB, 2 * MIB},        /* a large page */
        {5 * MIB, 4096},           /* inside of one */
        {4 * GIB + 4096, 4096},    /* inside of a larger one */
        {3 * GIB, 8 * GIB},        /* around them */
        {0, 1ull << ADDRESS_BITS},
    };
    struct nested ept = some_map();
    uint64_t digest = ept_digest(&ept), pages = stand_in_pages_live();
    for (unsigned i = 0; i < COUNT(bad); i++) {
        expect_equal(nested_map(&ept, bad[i].guest, 0, bad[i].bytes, NESTED_RWX, MEMORY_WB),
                     NESTED_OVERLAP);
        expect_same(&ept, digest, pages);
    }
    ept_done(&ept);
}

void check_what_is_not_mapped_can_not_be_unmapped_or_protected(void) {
    static const struct {
        uint64_t guest, bytes;
    } bad[] = {
        {4096, 4096},         {0, 8192},          {2 * MIB, 4 * MIB},
        {8 * MIB, 4 * MIB},   {3 * GIB, 2 * GIB}, {5 * GIB, GIB + 4096},
        {8 * GIB, 512 * GIB}, {0, 1ull << 48}, /* at the first hole it is over */
    };
    struct nested ept = some_map();
    uint64_t digest = ept_digest(&ept), pages = stand_in_pages_live();
    for (unsigned i = 0; i < COUNT(bad); i++) {
        expect_equal(nested_unmap(&ept, bad[i].guest, bad[i].bytes), NESTED_NOT_MAPPED);
        expect_equal(nested_protect(&ept, bad[i].guest, bad[i].bytes, NESTED_READ),
                     NESTED_NOT_MAPPED);
        expect_same(&ept, digest, pages);
    }
    ept_done(&ept);
}

/* Runs the operation with memory for 0 tables, then 1, and so on until it succeeds. */
static void expect_all_or_nothing(enum nested_result (*operation)(struct nested *),
                                  uint64_t needs) {
    for (uint64_t tables = 0; tables <= needs; tables++) {
        struct nested ept = some_map();
        uint64_t digest = ept_digest(&ept), pages = stand_in_pages_live();
        stand_in_pages_fail_after(tables);
        enum nested_result result = operation(&ept);
        stand_in_pages_fail_after(UINT64_MAX);
        if (tables < needs) {
            expect_equal(result, NESTED_NO_MEMORY);
            expect_same(&ept, digest, pages);
            expect_equal(operation(&ept), NESTED_OK); /* and nothing stands in its way afterwards */
        } else {
            expect_equal(result, NESTED_OK);
        }
        ept_done(&ept);
    }
}

static enum nested_result map_much(struct nested *ept) {
    return nested_map(ept, 600 * GIB - 4 * MIB - 4096, 4096, 8 * MIB, NESTED_RWX, MEMORY_WB);
}

static enum nested_result map_into_a_hole(struct nested *ept) {
    uint64_t start = 10 * MIB + 4096, end = 4 * GIB - 4096;
    return nested_map(ept, start, start, end - start, NESTED_READ, MEMORY_UC);
}

static enum nested_result map_next_to_others(struct nested *ept) {
    return nested_map(ept, 2 * MIB - 4096, 2 * MIB - 4096, 2 * MIB + 4096, NESTED_RWX, MEMORY_WB);
}

static enum nested_result protect_across_two(struct nested *ept) {
    return nested_protect(ept, 5 * GIB - 4096, 8192, NESTED_READ);
}

static enum nested_result protect_inside(struct nested *ept) {
    return nested_protect(ept, 5 * MIB, 4 * MIB, NESTED_READ);
}

static enum nested_result unmap_across_two(struct nested *ept) {
    return nested_unmap(ept, 5 * GIB - 4096, 2 * MIB + 4096);
}

static enum nested_result unmap_inside(struct nested *ept) {
    return nested_unmap(ept, 4 * GIB + 4096, 4096);
}

void check_a_map_without_memory_for_tables_changes_nothing(void) {
    expect_all_or_nothing(map_much, 8);
    expect_all_or_nothing(map_into_a_hole, 3);
    expect_all_or_nothing(map_next_to_others, 0);
}

void check_a_protect_without_memory_for_tables_changes_nothing(void) {
    expect_all_or_nothing(protect_across_two, 4);
    expect_all_or_nothing(protect_inside, 2);
}

void check_an_unmap_without_memory_for_tables_changes_nothing(void) {
    expect_all_or_nothing(unmap_across_two, 3);
    expect_all_or_nothing(unmap_inside, 2);
}

void check_a_map_larger_than_memory_for_its_tables_is_undone(void) {
    struct nested ept = ept_with(CAP_BASE); /* 4K pages only: 2 GiB of tables */
    expect_equal(nested_map(&ept, 0, 0, 1ull << ADDRESS_BITS, NESTED_RWX, MEMORY_WB),
                 NESTED_NO_MEMORY);
    expect_equal(stand_in_pages_live(), 1);
    expect_equal(nested_map(&ept, 0, 0, GIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    ept_done(&ept);
}

void check_misconfigurations_are_named(void) {
    static const uint64_t beyond = 1ull << ADDRESS_BITS;
    static const struct {
        uint64_t capabilities;
        int level;
        uint64_t entry;
        const char *reason; /* part of it, or NULL */
    } cases[] = {
        {CAP_ALL, 1, 0, NULL},
        {CAP_ALL, 1, 0x8000 | 6 << 3 | 7, NULL},
        {CAP_ALL, 1, 0x8000 | 6 << 3 | 2, "writable but not readable"},
        {CAP_ALL, 1, 0x8000 | 6 << 3 | 6, "writable but not readable"},
        {CAP_ALL, 3, 0x8000 | 2, "writable but not readable"},
        {CAP_ALL, 1, 0x8000 | 6 << 3 | 4, NULL},
        {CAP_BASE, 1, 0x8000 | 6 << 3 | 4, "executable but not readable"},
        {CAP_BASE, 4, 0x8000 | 4, "executable but not readable"},
        {CAP_ALL, 1, 0x8000 | 2 << 3 | 7, "type"},
        {CAP_ALL, 1, 0x8000 | 3 << 3 | 7, "type"},
        {CAP_ALL, 1, 0x8000 | 7 << 3 | 7, "type"},
        {CAP_ALL, 2, 0x80 | 7 << 3 | 7, "type"},
        {CAP_ALL, 3, 0x80 | 2 << 3 | 7, "type"},
        {CAP_ALL, 1, beyond | 6 << 3 | 7, "MAXPHYADDR"},
        {CAP_ALL, 1, 1ull << 51 | 6 << 3 | 7, "MAXPHYADDR"},
        {CAP_ALL, 2, beyond | 7, "MAXPHYADDR"},
        {CAP_ALL, 4, beyond | 7, "MAXPHYADDR"},
        {CAP_ALL, 1, 0xfff0000000008000 | 6 << 3 | 7, NULL}, /* 63:52 are ignored */
        {CAP_ALL, 1, 0x8000 | 0xfc0 | 6 << 3 | 7, NULL},     /* and so are 11:6 */
        {CAP_ALL, 2, 0x200000 | 0x80 | 6 << 3 | 7, NULL},
        {CAP_ALL, 2, 0x201000 | 0x80 | 6 << 3 | 7, "aligned"},
        {CAP_ALL, 3, 1ull << 30 | 0x80 | 6 << 3 | 7, NULL},
        {CAP_ALL, 3, 1ull << 29 | 0x80 | 6 << 3 | 7, "aligned"},
        {CAP_ALL & ~CAP_1G, 3, 1ull << 30 | 0x80 | 6 << 3 | 7, "page size"},
        {CAP_BASE, 2, 0x200000 | 0x80 | 6 << 3 | 7, "page size"},
        {CAP_ALL, 4, 0x8000 | 0x80 | 7, "page size"},
        {CAP_ALL, 4, 0x8000 | 0x08 | 7, "reserved bit"},
        {CAP_ALL, 3, 0x8000 | 0x40 | 7, "reserved bit"},
        {CAP_ALL, 2, 0x8000 | 0x10 | 7, "reserved bit"},
        {CAP_ALL, 2, 0x8000 | 0xf00 | 7, NULL},
        {CAP_ALL, 1, beyond | 7 << 3, NULL}, /* not present: nothing in it counts */
    };
    for (unsigned i = 0; i < COUNT(cases); i++) {
        struct nested ept = ept_with(cases[i].capabilities);
        const char *reason = nested_misconfiguration(&ept, cases[i].entry, cases[i].level);
        expect(!reason == !cases[i].reason);
        expect(!reason || strstr(reason, cases[i].reason));
        ept_done(&ept);
    }
}

void check_permissions_are_what_all_levels_permit(void) {
    for (int levels = 1; levels <= 4; levels++) {
        struct nested ept = some_map();
        uint64_t *entry = &ept.root[0];
        for (int level = 1; level < levels; level++) {
            entry = (uint64_t *)(*entry & ~0xfffull);
        }
        *entry &= ~(uint64_t)NESTED_WRITE;
        expect_equal(nested_walk(&ept, 0).permissions, NESTED_READ | NESTED_EXECUTE);
        ept_done(&ept);
    }
}

void check_a_walk_stops_at_a_misconfigured_entry_of_any_level(void) {
    for (int levels = 1; levels <= 4; levels++) {
        struct nested ept = some_map();
        uint64_t *entry = &ept.root[0];
        for (int level = 1; level < levels; level++) {
            entry = (uint64_t *)(*entry & ~0xfffull);
        }
        uint64_t good = *entry;
        *entry = (good & ~7ull) | NESTED_WRITE;
        struct nested_walk walk = nested_walk(&ept, 0x123);
        expect(walk.misconfigured && !walk.mapped);
        expect_equal(walk.levels, levels);
        expect_equal(walk.entries[levels - 1], *entry);
        expect_equal(walk.permissions, 0);
        *entry = good | 1ull << 47; /* to tables where there is no memory: not followed */
        expect(nested_walk(&ept, 0x123).misconfigured);
        *entry = good;
        expect(nested_walk(&ept, 0x123).mapped);
        ept_done(&ept);
    }
}
