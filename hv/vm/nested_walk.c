/*
 * Looking into EPT: translation as processors do it, misconfigurations, accessed and dirty flags.
 */
#include <stddef.h>

#include "vm/nested.h"
#include "vm/nested_entry.h"

const char *nested_misconfiguration(const struct nested *nested, uint64_t entry, int level) {
    if (!entry_present(nested, entry)) {
        return NULL;
    }
    const char *malformed = nested->format->malformed(nested, entry, level);
    if (malformed) {
        return malformed;
    }
    if (entry & ENTRY_ADDRESS & ~(nested->address_limit - 1)) {
        return "an address bit beyond MAXPHYADDR is set";
    }
    if (level > 1 && entry & ENTRY_LARGE && !nested_has_pages_at(nested, level)) {
        return "bit 7 asks for a page size that this processor does not have";
    }
    if (entry_is_page(entry, level) && entry & ENTRY_ADDRESS & (nested_span(level) - 1)) {
        return "a large page's address is not aligned to its size";
    }
    return NULL;
}

struct nested_walk nested_walk(const struct nested *nested, uint64_t guest) {
    struct nested_walk walk = {.permissions = NESTED_RWX};
    const uint64_t *table = nested->root;
    if (guest >= GUEST_LIMIT) {
        return (struct nested_walk){0}; /* no table can say where it leads */
    }
    for (int level = LEVELS; level > 0; level--) {
        uint64_t entry = table[nested_index(guest, level)];
        walk.entries[walk.levels++] = entry;
        walk.page_size = nested_span(level);
        walk.permissions &= nested->format->permissions(entry);
        walk.misconfigured = nested_misconfiguration(nested, entry, level);
        if (!entry_present(nested, entry) || walk.misconfigured) {
            walk.permissions = 0;
            return walk;
        }
        if (entry_is_page(entry, level)) {
            uint64_t offset = guest & (nested_span(level) - 1);
            walk.mapped = true;
            walk.host = (entry & ENTRY_ADDRESS) | offset;
            walk.type = nested->format->type(entry);
            return walk;
        }
        table = entry_table(entry);
    }
    return walk;
}

/* A range whose flags are taken, and what was found. */
struct taking {
    struct nested *nested;
    uint64_t flag;
    uint64_t base; /* page 0 of the bitmap */
    uint64_t *bitmap;
    uint64_t count;
};

static void found(struct taking *taking, uint64_t start, uint64_t end) {
    uint64_t page = (start - taking->base) / PAGE_SIZE, last = (end - taking->base) / PAGE_SIZE;
    taking->count += last - page;
    for (; taking->bitmap && page < last; page++) {
        taking->bitmap[page / 64] |= 1ull << page % 64;
    }
}

static void take(struct taking *taking, uint64_t *table, int level, uint64_t start, uint64_t end) {
    uint64_t span = nested_span(level);
    for (uint64_t stop; start < end; start = stop) {
        uint64_t next = (start | (span - 1)) + 1;
        stop = next < end ? next : end;
        uint64_t *entry = &table[nested_index(start, level)];
        if (!entry_present(taking->nested, *entry)) {
            continue;
        }
        if (!entry_is_page(*entry, level)) {
            take(taking, entry_table(*entry), level - 1, start, stop);
        } else if (*entry & taking->flag) {
            found(taking, start, stop);
            if (stop - start == span) {
                *entry &= ~taking->flag;
                taking->nested->stale =
                    true; /* a cached "dirty" would not be set again (29.4.3.4) */
            }
        }
    }
}

static enum nested_result take_range(struct nested *nested, uint64_t flag, uint64_t guest,
                                     uint64_t bytes, uint64_t *bitmap, uint64_t *count) {
    struct taking taking = {.nested = nested, .flag = flag, .base = guest, .bitmap = bitmap};
    *count = 0;
    if (!nested_range_valid(guest, bytes, GUEST_LIMIT)) {
        return NESTED_BAD_RANGE;
    }
    if (!nested->accessed_dirty) {
        return NESTED_NOT_SUPPORTED;
    }
    take(&taking, nested->root, LEVELS, guest, guest + bytes);
    *count = taking.count;
    return NESTED_OK;
}

enum nested_result nested_take_dirty(struct nested *nested, uint64_t guest, uint64_t bytes,
                                     uint64_t *bitmap, uint64_t *count) {
    return take_range(nested, nested->format->dirty, guest, bytes, bitmap, count);
}

enum nested_result nested_take_accessed(struct nested *nested, uint64_t guest, uint64_t bytes,
                                        uint64_t *bitmap, uint64_t *count) {
    return take_range(nested, nested->format->accessed, guest, bytes, bitmap, count);
}
