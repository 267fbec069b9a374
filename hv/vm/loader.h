/*
 * Puts a flat guest image into guest memory and says where it begins, by the mode it starts in:
 *
 *     long       64-bit, paging on. 0x1000: PML4, PDPT, four page directories (4 GiB, identity, 2 MiB
 *                pages). The image at 1 MiB, the stack at the top of memory.
 *     protected  32-bit flat, paging off: what Linux's 32-bit entry and multiboot 1 ask for. The
 *                image at 1 MiB, the stack at the top of memory.
 *     real       The image at 0x7c00, entered there with all segments 0, as a BIOS starts a boot
 *                sector; the stack below it.
 *
 * In the first two a GDT stands at 0x500: null, null, code (0x10), data (0x18). The page tables reach
 * beyond the guest's memory so that the second-level tables, not they, are what confines it.
 */
#pragma once

#include <stdbool.h>

#include "vm/vm.h"

#define LOADER_LEAST_MEMORY (2ul << 20)
#define LOADER_MOST_MEMORY  (3ul << 30)

/* False if the image does not fit; vm->memory has vm->options.memory zeroed bytes. */
bool loader_flat(struct vm *vm, const void *image, uint64_t bytes, struct vcpu_start *start);
