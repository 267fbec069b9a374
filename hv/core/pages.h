/* Physical memory by pages of 4 KiB. Physical and virtual addresses are the same here. */
#pragma once

#include <stdint.h>

enum { PAGE_SIZE = 4096, PAGE_SIZE_2M = 2 << 20, PAGE_SIZE_1G = 1 << 30 };

/* Takes over all RAM in boot_info but the image, the modules and the first MiB. */
void pages_start(void);

/* `count` contiguous zeroed pages, aligned to `alignment` pages (a power of 2); NULL if there are none. */
void *pages_allocate(uint64_t count, uint64_t alignment);
void pages_free(void *start, uint64_t count);
uint64_t pages_available(void);

/* One zeroed page; panics when memory is out: for what the hypervisor itself can't do without. */
void *page_allocate(void);
