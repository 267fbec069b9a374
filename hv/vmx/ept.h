/* Extended page tables, SDM 3C 29.3: guest-physical to host-physical addresses. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct guest_map;

struct guest_map *ept_create(void);
bool ept_add(struct guest_map *map, uint64_t guest, uint64_t host, uint64_t bytes);
void ept_destroy(struct guest_map *map);

/* What EPT_POINTER holds, 25.6.11. */
uint64_t ept_pointer(const struct guest_map *map);
