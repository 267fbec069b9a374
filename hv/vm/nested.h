/*
 * Nested page tables, Intel's EPT (SDM 3C 29.3) or AMD's NPT (APM 2 15.25): guest-physical to
 * host-physical addresses. One radix tree of 4 levels for both; what its entries look like is a format.
 *
 * Pure: nothing here executes a privileged instruction or reads a global, so that it runs in unit
 * tests. Pages for tables come from core/pages.h. The tables are always in their smallest form: the
 * largest pages that the processor and both addresses permit, no empty table but the root.
 *
 * No processor may be in this guest while its tables change. Where `stale` is true afterwards, some
 * processor may have cached what is no longer so: that must be dropped before the next entry.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cpu/mtrr.h"

enum nested_permission { NESTED_READ = 1, NESTED_WRITE = 2, NESTED_EXECUTE = 4, NESTED_RWX = 7 };

enum nested_result {
    NESTED_OK,
    NESTED_NO_MEMORY,      /* for a table */
    NESTED_BAD_RANGE,      /* empty, not in whole pages, or beyond what addresses can say */
    NESTED_OVERLAP,        /* part of the range is mapped already */
    NESTED_NOT_MAPPED,     /* part of the range is not mapped */
    NESTED_BAD_PERMISSION, /* none, or a combination that an entry can't have */
    NESTED_BAD_TYPE,       /* a reserved memory type, or one that an entry can't have */
    NESTED_NOT_SUPPORTED,  /* this processor has no accessed and dirty flags */
};

struct nested;

/* What the two vendors' entries do not have in common. (They have: addresses, bit 7 for large pages.) */
struct nested_format {
    uint64_t present;         /* an entry without any of these bits is not present */
    uint64_t permission_bits; /* those that say what may be done */
    uint64_t reference;       /* what an entry has that refers to a table: the pages below decide */
    uint64_t accessed, dirty; /* flags of entries that map pages */

    bool (*permissions_valid)(const struct nested *nested, unsigned permissions);
    bool (*type_valid)(enum memory_type type);
    uint64_t (*encode)(unsigned permissions); /* to permission_bits, of what is valid */
    uint64_t (*encode_type)(enum memory_type type);
    unsigned (*permissions)(uint64_t entry);
    enum memory_type (*type)(uint64_t entry);

    /* Why the processor would not accept this present entry, beside what nested_walk.c knows. */
    const char *(*malformed)(const struct nested *nested, uint64_t entry, int level);
};

struct nested {
    const struct nested_format *format;
    uint64_t *root;         /* the top table */
    uint64_t address_limit; /* 2 to the power of MAXPHYADDR */
    bool has_2m_pages, has_1g_pages;
    bool execute_only;          /* pages may be executable but not readable */
    bool accessed_dirty;        /* where the processor can, from the start */
    enum memory_type walk_type; /* of the processor's own accesses to the tables; EPT's */
    bool stale;                 /* see above; whoever drops what is cached clears it */
};

/* Gives these tables, otherwise filled in, a root. False if memory is out. */
bool nested_start(struct nested *nested);

/* From now on no page is larger than this: 4 KiB, 2 MiB, or whatever the processor has. */
void nested_limit_pages(struct nested *nested, uint64_t bytes);

void nested_stop(struct nested *nested);

/* Addresses and sizes are in whole 4K pages. Whatever is not NESTED_OK has changed nothing. */
enum nested_result nested_map(struct nested *nested, uint64_t guest, uint64_t host, uint64_t bytes,
                              unsigned permissions, enum memory_type type);
enum nested_result nested_unmap(struct nested *nested, uint64_t guest, uint64_t bytes);
enum nested_result nested_protect(struct nested *nested, uint64_t guest, uint64_t bytes,
                                  unsigned permissions);

/* A sentence for people. */
const char *nested_result_text(enum nested_result result);

/* Where a guest-physical address leads. */
struct nested_walk {
    uint64_t entries[4];  /* on the way, from the root's */
    int levels;           /* how many of them were read; the last one decided */
    bool mapped;          /* what follows holds only if this is true */
    uint64_t host;        /* of the byte, not of its page */
    unsigned permissions; /* what all entries on the way permit */
    enum memory_type type;
    uint64_t page_size;        /* if not mapped: of the hole that the last entry leaves */
    const char *misconfigured; /* why the last entry is, or NULL */
};

struct nested_walk nested_walk(const struct nested *nested, uint64_t guest);

/* Why the processor would not accept this entry, in a table of this level (4 the root, 1 the last), or
 * NULL. */
const char *nested_misconfiguration(const struct nested *nested, uint64_t entry, int level);

/*
 * Reads and clears the dirty or accessed flags of a range. Bit i of `bitmap` (which may be NULL) is set
 * if page i had it, and left alone if not; *count is the number of such 4K pages. The flag of a large
 * page that reaches beyond the range is read but stays: it speaks for the rest too.
 */
enum nested_result nested_take_dirty(struct nested *nested, uint64_t guest, uint64_t bytes,
                                     uint64_t *bitmap, uint64_t *count);
enum nested_result nested_take_accessed(struct nested *nested, uint64_t guest, uint64_t bytes,
                                        uint64_t *bitmap, uint64_t *count);

/* One guest's memory, for virt.h's table. */
struct guest_map {
    struct nested nested;
};

/* nested_record.c: adds to the record being built, under this key, where the tables start; or the entries
 * from the root on, down to the one that maps the address or stops there. */
void nested_record_root(const char *key, const struct nested *nested);
void nested_record(const char *key, const struct nested *nested, uint64_t guest);
