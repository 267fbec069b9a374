/* EPT: the format of its entries, and what this processor's can do. SDM 3C 29.3. */
#pragma once

#include "vm/nested.h"

/* Pure. False if memory is out or if such tables can't be used with these capabilities (A.10). */
bool ept_start(struct nested *nested, uint64_t ept_vpid_cap, unsigned physical_address_bits);

/* What EPT_POINTER holds, 25.6.11. */
uint64_t ept_pointer(const struct nested *nested);

/*
 * ept_map.c: one guest's memory as virt.h's table wants it, with the memory types of this machine.
 * ept_create gives NULL when memory is out.
 */
struct guest_map *ept_create(uint64_t page_size);

/*
 * Maps RAM readable, writable and executable, with the types that the MTRRs give it. False when
 * memory for tables is out: then part of the range may be mapped, and the guest can't start. Panics
 * at a range that is impossible or mapped already: no guest chooses it.
 */
bool ept_add(struct guest_map *map, uint64_t guest, uint64_t host, uint64_t bytes);
void ept_destroy(struct guest_map *map);

/* After any change and before the next entry: executes INVEPT if that is needed. */
void ept_invalidate(struct nested *nested);
