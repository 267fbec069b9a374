#include "vmx/ept.h"

#include <stddef.h>

#include "vmx/ept_entry.h"

bool ept_start(struct ept *ept, uint64_t ept_vpid_cap, unsigned physical_address_bits) {
    *ept = (struct ept){.capabilities = ept_vpid_cap};
    if (!(ept_vpid_cap & EPT_CAP_WALK_LENGTH_4) ||
        !(ept_vpid_cap & (EPT_CAP_WRITE_BACK | EPT_CAP_UNCACHEABLE)) ||
        physical_address_bits < 32 || physical_address_bits > 52) {
        return false;
    }
    if (!(ept_vpid_cap & EPT_CAP_2M_PAGES)) {
        ept->capabilities &= ~EPT_CAP_1G_PAGES; /* they could not be split */
    }
    ept->address_limit = 1ull << physical_address_bits;
    ept->accessed_dirty = ept_vpid_cap & EPT_CAP_ACCESSED_DIRTY;
    ept->root = pages_allocate(1, 1);
    return ept->root;
}

static void free_table(uint64_t *table, int level) {
    for (unsigned i = 0; i < ENTRIES && level > 1; i++) {
        if (entry_present(table[i]) && !entry_is_page(table[i], level)) {
            free_table(entry_table(table[i]), level - 1);
        }
    }
    pages_free(table, 1);
}

void ept_stop(struct ept *ept) {
    if (ept->root) {
        free_table(ept->root, LEVELS);
    }
    *ept = (struct ept){.stale = true};
}

uint64_t ept_pointer(const struct ept *ept) {
    /* The type is that of the processor's own accesses to these tables (29.3.7.1). */
    enum memory_type type = ept->capabilities & EPT_CAP_WRITE_BACK ? MEMORY_WB : MEMORY_UC;
    return (uint64_t)ept->root | (uint64_t)ept->accessed_dirty << 6 | (LEVELS - 1) << 3 |
           (uint64_t)type;
}

/*
 * The one place where entries change. Processors cache nothing from entries that are not present,
 * and an EPT violation drops what would have forbidden an access; all other changes need INVEPT
 * (29.4.3.4).
 */
static void set_entry(struct ept *ept, uint64_t *entry, uint64_t value) {
    bool only_adds = (*entry & ~ENTRY_PERMISSIONS) == (value & ~ENTRY_PERMISSIONS) &&
                     !(*entry & ~value & ENTRY_PERMISSIONS);
    if (entry_present(*entry) && !only_adds) {
        ept->stale = true;
    }
    *entry = value;
}

/* An entry that refers to a table permits everything: the pages below decide. */
static uint64_t reference(const uint64_t *table) {
    return (uint64_t)table | ENTRY_PERMISSIONS;
}

static bool permissions_valid(const struct ept *ept, unsigned permissions) {
    if (!permissions || permissions & ~ENTRY_PERMISSIONS) {
        return false;
    }
    bool execute_only = ept->capabilities & EPT_CAP_EXECUTE_ONLY && permissions == EPT_EXECUTE;
    return permissions & EPT_READ || execute_only;
}

/* What an operation on [start, end) does at one level: entry after entry, each with its share. */
static uint64_t share_end(uint64_t start, uint64_t end, int level) {
    uint64_t next = (start | (ept_span(level) - 1)) + 1;
    return next < end ? next : end;
}

/* Are all pages in [start, end) mapped, or all not mapped, whichever `mapped` says? */
static bool every_page(uint64_t *table, int level, uint64_t start, uint64_t end, bool mapped) {
    for (uint64_t stop; start < end; start = stop) {
        stop = share_end(start, end, level);
        uint64_t entry = table[ept_index(start, level)];
        bool present = entry_present(entry);
        if (present && !entry_is_page(entry, level)) {
            if (!every_page(entry_table(entry), level - 1, start, stop, mapped)) {
                return false;
            }
        } else if (present != mapped) {
            return false;
        }
    }
    return true;
}

/*
 * Puts 512 smaller pages in the place of the page that has this address inside, down to where a
 * page begins at the address. False if memory is out: then some have been split, which changes no
 * meaning.
 */
static bool split_at(struct ept *ept, uint64_t address) {
    uint64_t *table = ept->root;
    for (int level = LEVELS; address % ept_span(level); level--) {
        uint64_t *entry = &table[ept_index(address, level)];
        if (!entry_present(*entry)) {
            return true;
        }
        if (entry_is_page(*entry, level)) {
            uint64_t *below = pages_allocate(1, 1);
            if (!below) {
                return false;
            }
            /* The accessed and dirty flags go to all 512: any of them may be the one. */
            uint64_t page = level - 1 > 1 ? *entry : *entry & ~ENTRY_LARGE;
            for (unsigned i = 0; i < ENTRIES; i++) {
                below[i] = page + i * ept_span(level - 1);
            }
            set_entry(ept, entry, reference(below));
        }
        table = entry_table(*entry);
    }
    return true;
}

/* Merges the table that this entry (at this level) refers to into one page, if it says the same. */
static void merge_entry(struct ept *ept, uint64_t *entry, int level) {
    static const uint64_t flags = ENTRY_ACCESSED | ENTRY_DIRTY;
    uint64_t *below = entry_table(*entry);
    uint64_t first = below[0] & ~flags, seen = 0;
    if (!ept_has_pages_at(ept, level) || !entry_present(first) ||
        (first & ENTRY_ADDRESS) % ept_span(level)) {
        return;
    }
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (!entry_is_page(below[i], level - 1) ||
            (below[i] & ~flags) != first + i * ept_span(level - 1)) {
            return;
        }
        seen |= below[i] & flags;
    }
    set_entry(ept, entry, first | seen | ENTRY_LARGE);
    pages_free(below, 1);
}

static void merge_range(struct ept *ept, uint64_t *table, int level, uint64_t start, uint64_t end) {
    for (uint64_t stop; start < end; start = stop) {
        stop = share_end(start, end, level);
        uint64_t *entry = &table[ept_index(start, level)];
        if (entry_present(*entry) && !entry_is_page(*entry, level)) {
            merge_range(ept, entry_table(*entry), level - 1, start, stop);
            merge_entry(ept, entry, level);
        }
    }
}

/* Makes pages begin and end where the range does. False if memory is out, with nothing changed. */
static bool isolate(struct ept *ept, uint64_t start, uint64_t end) {
    if (split_at(ept, start) && split_at(ept, end)) {
        return true;
    }
    merge_range(ept, ept->root, LEVELS, start, end);
    return false;
}

static bool is_empty(const uint64_t *table) {
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (entry_present(table[i])) {
            return false;
        }
    }
    return true;
}

/* Takes away all pages in [start, end), which begin and end there, and tables left empty. */
static void clear_range(struct ept *ept, uint64_t *table, int level, uint64_t start, uint64_t end) {
    for (uint64_t stop; start < end; start = stop) {
        stop = share_end(start, end, level);
        uint64_t *entry = &table[ept_index(start, level)];
        if (!entry_present(*entry)) {
            continue;
        }
        if (!entry_is_page(*entry, level)) {
            uint64_t *below = entry_table(*entry);
            clear_range(ept, below, level - 1, start, stop);
            if (!is_empty(below)) {
                continue;
            }
            pages_free(below, 1);
        }
        set_entry(ept, entry, 0);
    }
}

/* Fills [start, end), of which nothing is mapped. False if memory is out, with part of it done. */
static bool fill_range(struct ept *ept, uint64_t *table, int level, uint64_t start, uint64_t end,
                       uint64_t page) {
    for (uint64_t stop; start < end; page += stop - start, start = stop) {
        stop = share_end(start, end, level);
        uint64_t *entry = &table[ept_index(start, level)];
        bool fits = stop - start == ept_span(level) && !((page & ENTRY_ADDRESS) % ept_span(level));
        if (fits && ept_has_pages_at(ept, level) && !entry_present(*entry)) {
            set_entry(ept, entry, page | (level > 1 ? ENTRY_LARGE : 0));
            continue;
        }
        if (!entry_present(*entry)) {
            uint64_t *below = pages_allocate(1, 1);
            if (!below) {
                return false;
            }
            set_entry(ept, entry, reference(below));
        }
        if (!fill_range(ept, entry_table(*entry), level - 1, start, stop, page)) {
            return false;
        }
    }
    return true;
}

static void protect_range(struct ept *ept, uint64_t *table, int level, uint64_t start, uint64_t end,
                          unsigned permissions) {
    for (uint64_t stop; start < end; start = stop) {
        stop = share_end(start, end, level);
        uint64_t *entry = &table[ept_index(start, level)];
        if (entry_is_page(*entry, level)) {
            set_entry(ept, entry, (*entry & ~ENTRY_PERMISSIONS) | permissions);
        } else {
            protect_range(ept, entry_table(*entry), level - 1, start, stop, permissions);
        }
    }
}

enum ept_result ept_map(struct ept *ept, uint64_t guest, uint64_t host, uint64_t bytes,
                        unsigned permissions, enum memory_type type) {
    uint64_t end = guest + bytes;
    if (!ept_range_valid(guest, bytes, GUEST_LIMIT) ||
        !ept_range_valid(host, bytes, ept->address_limit)) {
        return EPT_BAD_RANGE;
    }
    if (!permissions_valid(ept, permissions)) {
        return EPT_BAD_PERMISSION;
    }
    if (!memory_type_valid(type)) {
        return EPT_BAD_TYPE;
    }
    if (!every_page(ept->root, LEVELS, guest, end, false)) {
        return EPT_OVERLAP;
    }
    uint64_t page = host | permissions | (uint64_t)type << ENTRY_TYPE_SHIFT;
    if (!fill_range(ept, ept->root, LEVELS, guest, end, page)) {
        /* Nothing was mapped here and nothing has been merged yet: this undoes it exactly. */
        clear_range(ept, ept->root, LEVELS, guest, end);
        return EPT_NO_MEMORY;
    }
    merge_range(ept, ept->root, LEVELS, guest, end);
    return EPT_OK;
}

enum ept_result ept_unmap(struct ept *ept, uint64_t guest, uint64_t bytes) {
    if (!ept_range_valid(guest, bytes, GUEST_LIMIT)) {
        return EPT_BAD_RANGE;
    }
    if (!every_page(ept->root, LEVELS, guest, guest + bytes, true)) {
        return EPT_NOT_MAPPED;
    }
    if (!isolate(ept, guest, guest + bytes)) {
        return EPT_NO_MEMORY;
    }
    clear_range(ept, ept->root, LEVELS, guest, guest + bytes);
    return EPT_OK;
}

enum ept_result ept_protect(struct ept *ept, uint64_t guest, uint64_t bytes, unsigned permissions) {
    if (!ept_range_valid(guest, bytes, GUEST_LIMIT)) {
        return EPT_BAD_RANGE;
    }
    if (!permissions_valid(ept, permissions)) {
        return EPT_BAD_PERMISSION;
    }
    if (!every_page(ept->root, LEVELS, guest, guest + bytes, true)) {
        return EPT_NOT_MAPPED;
    }
    if (!isolate(ept, guest, guest + bytes)) {
        return EPT_NO_MEMORY;
    }
    protect_range(ept, ept->root, LEVELS, guest, guest + bytes, permissions);
    merge_range(ept, ept->root, LEVELS, guest, guest + bytes);
    return EPT_OK;
}

const char *ept_result_text(enum ept_result result) {
    switch (result) {
    case EPT_OK: return "done";
    case EPT_NO_MEMORY: return "memory for tables is out";
    case EPT_BAD_RANGE: return "the range is empty, not in whole pages, or too high";
    case EPT_OVERLAP: return "part of the range is mapped already";
    case EPT_NOT_MAPPED: return "part of the range is not mapped";
    case EPT_BAD_PERMISSION: return "these permissions can't be given";
    case EPT_BAD_TYPE: return "the memory type is reserved";
    case EPT_NOT_SUPPORTED: return "this processor has no accessed and dirty flags";
    }
    return "unknown";
}
