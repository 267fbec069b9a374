/* The hypervisor's own page tables: identity, and no page both writable and executable (W^X). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Text is executable and read-only, read-only data only readable, all else writable. Page 0 and
 * the page below each stack are left out, so that NULL and a stack overflow fault. */
void paging_start(void);

/* Is this address in the page below a stack, where only an overflow can lead? */
bool paging_is_stack_guard(uint64_t address);
