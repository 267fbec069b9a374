/* NPT: the format of its entries. APM 2 15.25; they are those of 4-level paging, 5.3.3. */
#pragma once

#include "vm/nested.h"

/* Pure. False if memory is out. */
bool npt_start(struct nested *nested, bool has_1g_pages, unsigned physical_address_bits);

/* npt_map.c: one guest's memory as virt.h's table wants it. NULL when memory is out. */
struct guest_map *npt_create(uint64_t page_size);

/* Maps RAM readable, writable and executable; as ept_add does. */
bool npt_add(struct guest_map *map, uint64_t guest, uint64_t host, uint64_t bytes);
void npt_destroy(struct guest_map *map);
