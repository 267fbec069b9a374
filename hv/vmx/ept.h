/*
 * Extended page tables, SDM 3C 29.3: guest-physical to host-physical addresses.
 *
 * Pure but for the end of this file: nothing executes a VMX instruction or reads a global, so that
 * it runs in unit tests. Pages for tables come from core/pages.h. The tables are always in their
 * smallest form: the largest pages that the capabilities and both addresses permit, no empty table
 * but the root.
 *
 * No processor may be in this guest while its tables change. Where `stale` is true afterwards, some
 * processor may have cached what is no longer so: INVEPT before the next entry, which
 * ept_invalidate does.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cpu/mtrr.h"

enum ept_permission { EPT_READ = 1, EPT_WRITE = 2, EPT_EXECUTE = 4, EPT_RWX = 7 };

enum ept_result {
    EPT_OK,
    EPT_NO_MEMORY,      /* for a table */
    EPT_BAD_RANGE,      /* empty, not in whole pages, or beyond what addresses can say */
    EPT_OVERLAP,        /* part of the range is mapped already */
    EPT_NOT_MAPPED,     /* part of the range is not mapped */
    EPT_BAD_PERMISSION, /* none, or a combination that would be a misconfiguration (29.3.3.1) */
    EPT_BAD_TYPE,       /* a reserved memory type */
    EPT_NOT_SUPPORTED,  /* this processor has no accessed and dirty flags */
};

struct ept {
    uint64_t *root;         /* the PML4 table */
    uint64_t capabilities;  /* IA32_VMX_EPT_VPID_CAP, A.10 */
    uint64_t address_limit; /* 2 to the power of MAXPHYADDR */
    bool accessed_dirty;    /* EPTP bit 6; where the processor can, from the start */
    bool stale;             /* see above; whoever executes INVEPT clears it */
};

/* False if memory is out or if such tables can't be used with these capabilities. */
bool ept_start(struct ept *ept, uint64_t ept_vpid_cap, unsigned physical_address_bits);
void ept_stop(struct ept *ept);

/* What EPT_POINTER holds, 25.6.11. */
uint64_t ept_pointer(const struct ept *ept);

/* Addresses and sizes are in whole 4K pages. Whatever is not EPT_OK has changed nothing. */
enum ept_result ept_map(struct ept *ept, uint64_t guest, uint64_t host, uint64_t bytes,
                        unsigned permissions, enum memory_type type);
enum ept_result ept_unmap(struct ept *ept, uint64_t guest, uint64_t bytes);
enum ept_result ept_protect(struct ept *ept, uint64_t guest, uint64_t bytes, unsigned permissions);

/* A sentence for people. */
const char *ept_result_text(enum ept_result result);

/* Where a guest-physical address leads. */
struct ept_walk {
    uint64_t entries[4];  /* on the way: PML4E, PDPTE, PDE, PTE */
    int levels;           /* how many of them were read; the last one decided */
    bool mapped;          /* what follows holds only if this is true */
    uint64_t host;        /* of the byte, not of its page */
    unsigned permissions; /* what all entries on the way permit */
    enum memory_type type;
    uint64_t page_size;        /* if not mapped: of the hole that the last entry leaves */
    const char *misconfigured; /* why the last entry is, or NULL */
};

struct ept_walk ept_walk(const struct ept *ept, uint64_t guest);

/* Why this entry, in a table of this level (4 the PML4, 1 the last), is a misconfiguration by
 * 29.3.3.1, or NULL. */
const char *ept_misconfiguration(const struct ept *ept, uint64_t entry, int level);

/*
 * Reads and clears the dirty or accessed flags of a range (29.3.5). Bit i of `bitmap` (which may be
 * NULL) is set if page i had it, and left alone if not; *count is the number of such 4K pages. The
 * flag of a large page that reaches beyond the range is read but stays: it speaks for the rest too.
 */
enum ept_result ept_take_dirty(struct ept *ept, uint64_t guest, uint64_t bytes, uint64_t *bitmap,
                               uint64_t *count);
enum ept_result ept_take_accessed(struct ept *ept, uint64_t guest, uint64_t bytes, uint64_t *bitmap,
                                  uint64_t *count);

/*
 * ept_map.c: one guest's memory as virt.h's table wants it, with the memory types of this machine
 * and the INVEPT that is left open above. For what is not in virt.h, use &map->ept.
 */
struct guest_map {
    struct ept ept;
};

/* NULL when memory is out. */
struct guest_map *ept_create(void);

/*
 * Maps RAM readable, writable and executable, with the types that the MTRRs give it. False when
 * memory for tables is out: then part of the range may be mapped, and the guest can't start. Panics
 * at a range that is impossible or mapped already: no guest chooses it.
 */
bool ept_add(struct guest_map *map, uint64_t guest, uint64_t host, uint64_t bytes);
void ept_destroy(struct guest_map *map);

/* After any change and before the next entry: executes INVEPT if that is needed. */
void ept_invalidate(struct ept *ept);
