/* Which ports and MSRs exit: one set of bitmaps for all guests, made from the tables in vm/. */
#pragma once

#include <stdint.h>

void bitmaps_start(void);
void bitmaps_stop(void);
uint64_t bitmaps_msr(void);
uint64_t bitmaps_io_a(void); /* ports 0 to 0x7fff */
uint64_t bitmaps_io_b(void); /* ports 0x8000 to 0xffff */
