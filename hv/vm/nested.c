#include "vm/nested.h"

#include <stddef.h>

#include "vm/nested_entry.h"

bool nested_start(struct nested *nested) {
    nested->root = pages_allocate(1, 1);
    return nested->root;
}

void nested_limit_pages(struct nested *nested, uint64_t bytes) {
    nested->has_2m_pages = nested->has_2m_pages && nested_span(2) <= bytes;
    nested->has_1g_pages = nested->has_1g_pages && nested_span(3) <= bytes;
}

static void free_table(const struct nested *nested, uint64_t *table, int level) {
    for (unsigned i = 0; i < ENTRIES && level > 1; i++) {
        if (entry_present(nested, table[i]) && !entry_is_page(table[i], level)) {
            free_table(nested, entry_table(table[i]), level - 1);
        }
    }
    pages_free(table, 1);
}

void nested_stop(struct nested *nested) {
    if (nested->root) {
        free_table(nested, nested->root, LEVELS);
    }
    *nested = (struct nested){.stale = true};
}

/*
 * The one place where entries change. Processors cache nothing from entries that are not present,
 * and an EPT violation drops what would have forbidden an access; all other changes need INVEPT
 * (29.4.3.4).
 */
static void set_entry(struct nested *nested, uint64_t *entry, uint64_t value) {
    const struct nested_format *format = nested->format;
    bool only_adds = !((*entry ^ value) & ~format->permission_bits) &&
                     !(format->permissions(*entry) & ~format->permissions(value));
    if (entry_present(nested, *entry) && !only_adds) {
        nested->stale = true;
    }
    *entry = value;
}

/* An entry that refers to a table permits everything: the pages below decide. */
static uint64_t reference(const struct nested *nested, const uint64_t *table) {
    return (uint64_t)table | nested->format->reference;
}

/* What an operation on [start, end) does at one level: entry after entry, each with its share. */
static uint64_t share_end(uint64_t start, uint64_t end, int level) {
    uint64_t next = (start | (nested_span(level) - 1)) + 1;
    return next < end ? next : end;
}

/* Are all pages in [start, end) mapped, or all not mapped, whichever `mapped` says? */
static bool every_page(const struct nested *nested, uint64_t *table, int level, uint64_t start,
                       uint64_t end, bool mapped) {
    for (uint64_t stop; start < end; start = stop) {
        stop = share_end(start, end, level);
        uint64_t entry = table[nested_index(start, level)];
        bool present = entry_present(nested, entry);
        if (present && !entry_is_page(entry, level)) {
            if (!every_page(nested, entry_table(entry), level - 1, start, stop, mapped)) {
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
static bool split_at(struct nested *nested, uint64_t address) {
    uint64_t *table = nested->root;
    for (int level = LEVELS; address % nested_span(level); level--) {
        uint64_t *entry = &table[nested_index(address, level)];
        if (!entry_present(nested, *entry)) {
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
                below[i] = page + i * nested_span(level - 1);
            }
            set_entry(nested, entry, reference(nested, below));
        }
        table = entry_table(*entry);
    }
    return true;
}

/* Merges the table that this entry (at this level) refers to into one page, if it says the same. */
static void merge_entry(struct nested *nested, uint64_t *entry, int level) {
    const uint64_t flags = nested->format->accessed | nested->format->dirty;
    uint64_t *below = entry_table(*entry);
    uint64_t first = below[0] & ~flags, seen = 0;
    if (!nested_has_pages_at(nested, level) || !entry_present(nested, first) ||
        (first & ENTRY_ADDRESS) % nested_span(level)) {
        return;
    }
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (!entry_is_page(below[i], level - 1) ||
            (below[i] & ~flags) != first + i * nested_span(level - 1)) {
            return;
        }
        seen |= below[i] & flags;
    }
    set_entry(nested, entry, first | seen | ENTRY_LARGE);
    pages_free(below, 1);
}

static void merge_range(struct nested *nested, uint64_t *table, int level, uint64_t start,
                        uint64_t end) {
    for (uint64_t stop; start < end; start = stop) {
        stop = share_end(start, end, level);
        uint64_t *entry = &table[nested_index(start, level)];
        if (entry_present(nested, *entry) && !entry_is_page(*entry, level)) {
            merge_range(nested, entry_table(*entry), level - 1, start, stop);
            merge_entry(nested, entry, level);
        }
    }
}

/* Makes pages begin and end where the range does. False if memory is out, with nothing changed. */
static bool isolate(struct nested *nested, uint64_t start, uint64_t end) {
    if (split_at(nested, start) && split_at(nested, end)) {
        return true;
    }
    merge_range(nested, nested->root, LEVELS, start, end);
    return false;
}

static bool is_empty(const struct nested *nested, const uint64_t *table) {
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (entry_present(nested, table[i])) {
            return false;
        }
    }
    return true;
}

/* Takes away all pages in [start, end), which begin and end there, and tables left empty. */
static void clear_range(struct nested *nested, uint64_t *table, int level, uint64_t start,
                        uint64_t end) {
    for (uint64_t stop; start < end; start = stop) {
        stop = share_end(start, end, level);
        uint64_t *entry = &table[nested_index(start, level)];
        if (!entry_present(nested, *entry)) {
            continue;
        }
        if (!entry_is_page(*entry, level)) {
            uint64_t *below = entry_table(*entry);
            clear_range(nested, below, level - 1, start, stop);
            if (!is_empty(nested, below)) {
                continue;
            }
            pages_free(below, 1);
        }
        set_entry(nested, entry, 0);
    }
}

/* Fills [start, end), of which nothing is mapped. False if memory is out, with part of it done. */
static bool fill_range(struct nested *nested, uint64_t *table, int level, uint64_t start,
                       uint64_t end, uint64_t page) {
    for (uint64_t stop; start < end; page += stop - start, start = stop) {
        stop = share_end(start, end, level);
        uint64_t *entry = &table[nested_index(start, level)];
        bool fits =
            stop - start == nested_span(level) && !((page & ENTRY_ADDRESS) % nested_span(level));
        if (fits && nested_has_pages_at(nested, level) && !entry_present(nested, *entry)) {
            set_entry(nested, entry, page | (level > 1 ? ENTRY_LARGE : 0));
            continue;
        }
        if (!entry_present(nested, *entry)) {
            uint64_t *below = pages_allocate(1, 1);
            if (!below) {
                return false;
            }
            set_entry(nested, entry, reference(nested, below));
        }
        if (!fill_range(nested, entry_table(*entry), level - 1, start, stop, page)) {
            return false;
        }
    }
    return true;
}

static void protect_range(struct nested *nested, uint64_t *table, int level, uint64_t start,
                          uint64_t end, unsigned permissions) {
    for (uint64_t stop; start < end; start = stop) {
        stop = share_end(start, end, level);
        uint64_t *entry = &table[nested_index(start, level)];
        if (entry_is_page(*entry, level)) {
            set_entry(nested, entry,
                      (*entry & ~nested->format->permission_bits) |
                          nested->format->encode(permissions));
        } else {
            protect_range(nested, entry_table(*entry), level - 1, start, stop, permissions);
        }
    }
}

enum nested_result nested_map(struct nested *nested, uint64_t guest, uint64_t host, uint64_t bytes,
                              unsigned permissions, enum memory_type type) {
    uint64_t end = guest + bytes;
    if (!nested_range_valid(guest, bytes, GUEST_LIMIT) ||
        !nested_range_valid(host, bytes, nested->address_limit)) {
        return NESTED_BAD_RANGE;
    }
    if (!nested->format->permissions_valid(nested, permissions)) {
        return NESTED_BAD_PERMISSION;
    }
    if (!nested->format->type_valid(type)) {
        return NESTED_BAD_TYPE;
    }
    if (!every_page(nested, nested->root, LEVELS, guest, end, false)) {
        return NESTED_OVERLAP;
    }
    uint64_t page = host | nested->format->encode(permissions) | nested->format->encode_type(type);
    if (!fill_range(nested, nested->root, LEVELS, guest, end, page)) {
        /* Nothing was mapped here and nothing has been merged yet: this undoes it exactly. */
        clear_range(nested, nested->root, LEVELS, guest, end);
        return NESTED_NO_MEMORY;
    }
    merge_range(nested, nested->root, LEVELS, guest, end);
    return NESTED_OK;
}

enum nested_result nested_unmap(struct nested *nested, uint64_t guest, uint64_t bytes) {
    if (!nested_range_valid(guest, bytes, GUEST_LIMIT)) {
        return NESTED_BAD_RANGE;
    }
    if (!every_page(nested, nested->root, LEVELS, guest, guest + bytes, true)) {
        return NESTED_NOT_MAPPED;
    }
    if (!isolate(nested, guest, guest + bytes)) {
        return NESTED_NO_MEMORY;
    }
    clear_range(nested, nested->root, LEVELS, guest, guest + bytes);
    return NESTED_OK;
}

enum nested_result nested_protect(struct nested *nested, uint64_t guest, uint64_t bytes,
                                  unsigned permissions) {
    if (!nested_range_valid(guest, bytes, GUEST_LIMIT)) {
        return NESTED_BAD_RANGE;
    }
    if (!nested->format->permissions_valid(nested, permissions)) {
        return NESTED_BAD_PERMISSION;
    }
    if (!every_page(nested, nested->root, LEVELS, guest, guest + bytes, true)) {
        return NESTED_NOT_MAPPED;
    }
    if (!isolate(nested, guest, guest + bytes)) {
        return NESTED_NO_MEMORY;
    }
    protect_range(nested, nested->root, LEVELS, guest, guest + bytes, permissions);
    merge_range(nested, nested->root, LEVELS, guest, guest + bytes);
    return NESTED_OK;
}

const char *nested_result_text(enum nested_result result) {
    switch (result) {
    case NESTED_OK: return "done";
    case NESTED_NO_MEMORY: return "memory for tables is out";
    case NESTED_BAD_RANGE: return "the range is empty, not in whole pages, or too high";
    case NESTED_OVERLAP: return "part of the range is mapped already";
    case NESTED_NOT_MAPPED: return "part of the range is not mapped";
    case NESTED_BAD_PERMISSION: return "these permissions can't be given";
    case NESTED_BAD_TYPE: return "the memory type is reserved";
    case NESTED_NOT_SUPPORTED: return "this processor has no accessed and dirty flags";
    }
    return "unknown";
}
