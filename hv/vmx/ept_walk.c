/*
 * Looking into EPT: translation as processors do it, misconfigurations, accessed and dirty flags.
 */
#include <stddef.h>

#include "vmx/ept.h"
#include "vmx/ept_entry.h"

/* 29.3.3.1: what must be zero in a present entry, by what it is; tables 29-1 to 29-7. */
static const char *reserved_bits(const struct ept *ept, uint64_t entry, int level) {
    if (entry & ENTRY_ADDRESS & ~(ept->address_limit - 1)) {
        return "an address bit beyond MAXPHYADDR is set";
    }
    if (level > 1 && entry & ENTRY_LARGE && !ept_has_pages_at(ept, level)) {
        return "bit 7 asks for a page size that this processor does not have";
    }
    if (!entry_is_page(entry, level)) {
        return entry & 0x78 ? "a reserved bit of 6:3 is set in a reference to a table" : NULL;
    }
    if (entry & ENTRY_ADDRESS & (ept_span(level) - 1)) {
        return "a large page's address is not aligned to its size";
    }
    return memory_type_valid((entry & ENTRY_TYPE) >> ENTRY_TYPE_SHIFT)
               ? NULL
               : "the memory type is reserved";
}

const char *ept_misconfiguration(const struct ept *ept, uint64_t entry, int level) {
    if (!entry_present(entry)) {
        return NULL;
    }
    if (!(entry & EPT_READ) && entry & EPT_WRITE) {
        return "writable but not readable";
    }
    if (!(entry & EPT_READ) && !(ept->capabilities & EPT_CAP_EXECUTE_ONLY)) {
        return "executable but not readable, which this processor can't do";
    }
    return reserved_bits(ept, entry, level);
}

struct ept_walk ept_walk(const struct ept *ept, uint64_t guest) {
    struct ept_walk walk = {.permissions = EPT_RWX};
    const uint64_t *table = ept->root;
    if (guest >= GUEST_LIMIT) {
        return (struct ept_walk){0}; /* no table can say where it leads */
    }
    for (int level = LEVELS; level > 0; level--) {
        uint64_t entry = table[ept_index(guest, level)];
        walk.entries[walk.levels++] = entry;
        walk.page_size = ept_span(level);
        walk.permissions &= entry & ENTRY_PERMISSIONS;
        walk.misconfigured = ept_misconfiguration(ept, entry, level);
        if (!entry_present(entry) || walk.misconfigured) {
            walk.permissions = 0;
            return walk;
        }
        if (entry_is_page(entry, level)) {
            uint64_t offset = guest & (ept_span(level) - 1);
            walk.mapped = true;
            walk.host = (entry & ENTRY_ADDRESS) | offset;
            walk.type = (enum memory_type)((entry & ENTRY_TYPE) >> ENTRY_TYPE_SHIFT);
            return walk;
        }
        table = entry_table(entry);
    }
    return walk;
}

/* A range whose flags are taken, and what was found. */
struct taking {
    struct ept *ept;
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
    uint64_t span = ept_span(level);
    for (uint64_t stop; start < end; start = stop) {
        uint64_t next = (start | (span - 1)) + 1;
        stop = next < end ? next : end;
        uint64_t *entry = &table[ept_index(start, level)];
        if (!entry_present(*entry)) {
            continue;
        }
        if (!entry_is_page(*entry, level)) {
            take(taking, entry_table(*entry), level - 1, start, stop);
        } else if (*entry & taking->flag) {
            found(taking, start, stop);
            if (stop - start == span) {
                *entry &= ~taking->flag;
                taking->ept->stale = true; /* a cached "dirty" would not be set again (29.4.3.4) */
            }
        }
    }
}

static enum ept_result take_range(struct ept *ept, uint64_t flag, uint64_t guest, uint64_t bytes,
                                  uint64_t *bitmap, uint64_t *count) {
    struct taking taking = {.ept = ept, .flag = flag, .base = guest, .bitmap = bitmap};
    *count = 0;
    if (!ept_range_valid(guest, bytes, GUEST_LIMIT)) {
        return EPT_BAD_RANGE;
    }
    if (!ept->accessed_dirty) {
        return EPT_NOT_SUPPORTED;
    }
    take(&taking, ept->root, LEVELS, guest, guest + bytes);
    *count = taking.count;
    return EPT_OK;
}

enum ept_result ept_take_dirty(struct ept *ept, uint64_t guest, uint64_t bytes, uint64_t *bitmap,
                               uint64_t *count) {
    return take_range(ept, ENTRY_DIRTY, guest, bytes, bitmap, count);
}

enum ept_result ept_take_accessed(struct ept *ept, uint64_t guest, uint64_t bytes, uint64_t *bitmap,
                                  uint64_t *count) {
    return take_range(ept, ENTRY_ACCESSED, guest, bytes, bitmap, count);
}
