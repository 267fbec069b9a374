/* The MSR permission map, APM 2 15.11, made from the one table of MSRs. Pure: unit-tested. */
#pragma once

#include <stdint.h>

#include "vm/msr.h"

enum { MSR_MAP_SIZE = 8192 };

/* A 1 bit intercepts; what the table calls direct gets 0 for reads and writes. */
void msr_map_fill(uint8_t map[MSR_MAP_SIZE], const struct msr_rule *rules, unsigned count);
