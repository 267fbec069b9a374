/* Nested page tables, APM 2 15.25: one guest's memory as virt.h's table wants it. */
#pragma once

#include "vm/virt.h"

struct guest_map *npt_create(void);
bool npt_add(struct guest_map *map, uint64_t guest, uint64_t host, uint64_t bytes);
void npt_destroy(struct guest_map *map);
void npt_record_root(const struct guest_map *map);
void npt_record(const struct guest_map *map, uint64_t guest);

/* What N_CR3 holds. */
uint64_t npt_root(const struct guest_map *map);
