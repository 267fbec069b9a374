#include "ept_fixture.h"

struct nested ept_with(uint64_t capabilities) {
    struct nested ept;
    expect(ept_start(&ept, capabilities, ADDRESS_BITS));
    expect_equal(stand_in_pages_live(), 1);
    expect(!ept.stale);
    return ept;
}

void ept_done(struct nested *ept) {
    nested_stop(ept);
    expect_equal(stand_in_pages_live(), 0);
}

static bool is_table(uint64_t entry, int level) {
    return level > 1 && entry & 7 && !(entry & 0x80);
}

static uint64_t *table_of(uint64_t entry) {
    return (uint64_t *)(entry & 0x000ffffffffff000ull);
}

uint64_t *ept_last_entry(const struct nested *ept, uint64_t guest) {
    uint64_t *table = ept->root;
    for (int level = 4;; level--) {
        uint64_t *entry = &table[guest >> (12 + 9 * (level - 1)) & 511];
        if (!is_table(*entry, level)) {
            return entry;
        }
        table = table_of(*entry);
    }
}

static uint64_t digest(const uint64_t *table, int level, uint64_t sum) {
    for (int i = 0; i < 512; i++) {
        bool below = is_table(table[i], level);
        sum = (sum ^ (below ? table[i] & 0xfff : table[i])) * 0x100000001b3ull;
        if (below) {
            sum = digest(table_of(table[i]), level - 1, sum);
        }
    }
    return sum;
}

uint64_t ept_digest(const struct nested *ept) {
    return digest(ept->root, 4, 0xcbf29ce484222325ull);
}
