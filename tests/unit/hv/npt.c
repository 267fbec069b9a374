/* NPT's entries bit for bit (APM 2 5.3.3), written out so that svm/npt.c is checked. */
#include "svm/npt.h"
#include "check.h"
#include "stand_in_pages.h"

#define P  (1ull << 0)
#define W  (1ull << 1)
#define U  (1ull << 2)
#define A  (1ull << 5)
#define D  (1ull << 6)
#define PS (1ull << 7)
#define NX (1ull << 63)

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static struct nested tables(bool has_1g_pages) {
    struct nested nested;
    expect(npt_start(&nested, has_1g_pages, 40));
    return nested;
}

static void done(struct nested *nested) {
    nested_stop(nested);
    expect_equal(stand_in_pages_live(), 0);
}

static uint64_t last_entry(const struct nested *nested, uint64_t guest) {
    struct nested_walk walk = nested_walk(nested, guest);
    return walk.entries[walk.levels - 1];
}

void check_every_permission_is_what_the_entry_says(void) {
    static const struct {
        unsigned permissions;
        uint64_t bits;
    } known[] = {
        {NESTED_READ, P | U | NX},
        {NESTED_READ | NESTED_WRITE, P | U | W | NX},
        {NESTED_READ | NESTED_EXECUTE, P | U},
        {NESTED_RWX, P | U | W},
    };
    struct nested nested = tables(true);
    for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint64_t guest = i * 4096, host = 0x7000000 + guest;
        expect_equal(nested_map(&nested, guest, host, 4096, known[i].permissions, MEMORY_WB),
                     NESTED_OK);
        expect_equal(last_entry(&nested, guest), host | known[i].bits);
        struct nested_walk walk = nested_walk(&nested, guest + 5);
        expect(walk.mapped);
        expect_equal(walk.host, host + 5);
        expect_equal(walk.permissions, known[i].permissions);
    }
    done(&nested);
}

void check_what_an_entry_can_not_say_is_refused(void) {
    struct nested nested = tables(true);
    static const unsigned bad[] = {0, NESTED_WRITE,   NESTED_EXECUTE, NESTED_WRITE | NESTED_EXECUTE,
                                   8, NESTED_READ | 8};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        expect_equal(nested_map(&nested, 0, 0, 4096, bad[i], MEMORY_WB), NESTED_BAD_PERMISSION);
    }
    expect_equal(nested_map(&nested, 0, 0, 4096, NESTED_RWX, MEMORY_UC), NESTED_BAD_TYPE);
    expect_equal(nested_map(&nested, 0, 1ull << 40, 4096, NESTED_RWX, MEMORY_WB), NESTED_BAD_RANGE);
    expect_equal(stand_in_pages_live(), 1);
    done(&nested);
}

void check_pages_are_as_large_as_the_processor_has_them(void) {
    struct nested with = tables(true);
    expect_equal(nested_map(&with, 0, 0, 2 * GIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect_equal(last_entry(&with, GIB), GIB | P | U | W | PS);
    expect_equal(nested_walk(&with, GIB).levels, 2);
    done(&with);
    struct nested without = tables(false);
    expect_equal(nested_map(&without, 0, 0, 2 * GIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect_equal(last_entry(&without, GIB), GIB | P | U | W | PS);
    expect_equal(nested_walk(&without, GIB).levels, 3);
    expect_equal(stand_in_pages_live(), 1 + 1 + 2);
    done(&without);
}

void check_a_large_page_is_split_and_merged_with_all_that_it_says(void) {
    struct nested nested = tables(false);
    expect_equal(nested_map(&nested, 0, 0, 2 * MIB, NESTED_RWX, MEMORY_WB), NESTED_OK);
    expect_equal(nested_protect(&nested, 0x5000, 4096, NESTED_READ), NESTED_OK);
    expect(nested.stale); /* less is permitted than may be cached */
    expect_equal(last_entry(&nested, 0x4000), 0x4000 | P | U | W);
    expect_equal(last_entry(&nested, 0x5000), 0x5000 | P | U | NX);
    expect_equal(nested_protect(&nested, 0x5000, 4096, NESTED_RWX), NESTED_OK);
    expect_equal(last_entry(&nested, 0x5000), P | U | W | PS);
    done(&nested);
}

void check_more_permissions_leave_nothing_stale(void) {
    struct nested nested = tables(false);
    expect_equal(nested_map(&nested, 0, 0, 4096, NESTED_READ, MEMORY_WB), NESTED_OK);
    expect_equal(nested_protect(&nested, 0, 4096, NESTED_RWX), NESTED_OK);
    expect(!nested.stale);
    expect_equal(nested_protect(&nested, 0, 4096, NESTED_READ | NESTED_WRITE), NESTED_OK);
    expect(nested.stale); /* NX is a bit more in the entry, and less for the guest */
    done(&nested);
}

void check_flags_are_taken_where_the_processor_sets_them(void) {
    struct nested nested = tables(false);
    uint64_t bitmap = 0, count;
    expect_equal(nested_map(&nested, 0, 0, 3 * 4096, NESTED_RWX, MEMORY_WB), NESTED_OK);
    struct nested_walk walk = nested_walk(&nested, 4096);
    uint64_t *table = (uint64_t *)(walk.entries[2] & 0x000ffffffffff000ull);
    table[1] |= A | D;
    expect_equal(nested_take_dirty(&nested, 0, 3 * 4096, &bitmap, &count), NESTED_OK);
    expect_equal(bitmap, 2);
    expect_equal(count, 1);
    expect_equal(table[1] & (A | D), A);
    done(&nested);
}

void check_bit_7_in_the_top_table_is_told_as_a_mistake(void) {
    struct nested nested = tables(true);
    expect_equal(nested_map(&nested, 0, 0, 4096, NESTED_RWX, MEMORY_WB), NESTED_OK);
    nested.root[0] |= PS;
    struct nested_walk walk = nested_walk(&nested, 0);
    expect(!walk.mapped);
    expect(walk.misconfigured);
    nested.root[0] &= ~PS;
    done(&nested);
}
