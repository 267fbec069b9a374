/* Levels, indices and what all entries have in common; for the files of nested page tables only. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/pages.h"
#include "vm/nested.h"

#define ENTRY_LARGE   (1ull << 7)
#define ENTRY_ADDRESS 0x000ffffffffff000ull

enum { LEVELS = 4, ENTRIES = 512, INDEX_BITS = 9, PAGE_SHIFT = 12 };
static_assert(1 << PAGE_SHIFT == PAGE_SIZE, "the last level maps pages");
static_assert(1 << INDEX_BITS == ENTRIES, "an index selects an entry");
static_assert(ENTRIES * sizeof(uint64_t) == PAGE_SIZE, "a table fills one page");
static_assert(PAGE_SHIFT + LEVELS * INDEX_BITS == 48, "four levels translate 48 bits");
static_assert(sizeof((struct nested_walk *)0)->entries == LEVELS * sizeof(uint64_t), "one a level");

static const uint64_t GUEST_LIMIT = 1ull << (PAGE_SHIFT + LEVELS * INDEX_BITS);

/* How much address space an entry at this level covers: 4K at level 1, 2M, 1G, 512G at level 4. */
static inline uint64_t nested_span(int level) {
    return 1ull << (PAGE_SHIFT + INDEX_BITS * (level - 1));
}

static inline unsigned nested_index(uint64_t guest, int level) {
    return (unsigned)(guest / nested_span(level) % ENTRIES);
}

static inline bool entry_present(const struct nested *nested, uint64_t entry) {
    return entry & nested->format->present;
}

/* Does a present entry map a page, as opposed to referring to a table? */
static inline bool entry_is_page(uint64_t entry, int level) {
    return level == 1 || entry & ENTRY_LARGE;
}

static inline uint64_t *entry_table(uint64_t entry) {
    return (uint64_t *)(entry & ENTRY_ADDRESS);
}

static inline bool nested_has_pages_at(const struct nested *nested, int level) {
    switch (level) {
    case 1: return true;
    case 2: return nested->has_2m_pages;
    case 3: return nested->has_1g_pages;
    default: return false;
    }
}

/* Not empty, whole pages, within [0, limit), and no wrap on the way. */
static inline bool nested_range_valid(uint64_t start, uint64_t bytes, uint64_t limit) {
    return bytes && !((start | bytes) % PAGE_SIZE) && start < limit && bytes <= limit - start;
}
