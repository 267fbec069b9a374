/* The MSR bitmap's layout, apart from memory and hardware, for the host's unit tests too. */
#pragma once

#include <stdint.h>

#include "vm/msr.h"

/* SDM 3C 25.6.9: a bit an MSR, set where it exits; everything exits but the guest's own. */
void msr_bitmap_fill(uint8_t bitmap[4096], const struct msr_rule *rules, unsigned count);
