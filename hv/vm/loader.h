/*
 * Puts a flat guest image into guest memory and says where it begins. Guest-physical layout:
 *
 *     0x0500    GDT: null, null, 64-bit code (0x10), data (0x18)
 *     0x1000    PML4, PDPT, four page directories: 4 GiB, identity, 2 MiB pages
 *     0x100000  the image, entered at its first byte
 *     top       the stack, growing down
 *
 * The page tables reach beyond the guest's memory so that EPT, not they, is what confines it.
 */
#pragma once

#include <stdbool.h>

#include "vm/vm.h"

#define LOADER_LEAST_MEMORY (2ul << 20)
#define LOADER_MOST_MEMORY  (3ul << 30)

/* False if the image does not fit; vm->memory has vm->options.memory zeroed bytes. */
bool loader_flat(struct vm *vm, const void *image, uint64_t bytes, struct vcpu_start *start);
