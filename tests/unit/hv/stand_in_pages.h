/* A page allocator that counts, can be told to fail, and knows which pages are whose. */
#pragma once

#include <stdint.h>

#include "core/pages.h"

/* Low enough to be a physical address of 32 bits, as the code under test takes pointers for. */
#define STAND_IN_PAGES_START 0x20000000ull

enum { STAND_IN_PAGES = 8192 };

/* Pages that are allocated now. */
uint64_t stand_in_pages_live(void);

/* The next `count` allocations succeed, all later ones fail; UINT64_MAX: until memory is out. */
void stand_in_pages_fail_after(uint64_t count);
