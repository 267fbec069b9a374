/* How long an intercepted instruction is, from its bytes, where the processor does not save nRIP. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* `opcode` is its length without prefixes. Counts the prefixes (APM 3 1.2) at the start of `bytes`; what
 * can't be one instruction of at most 15 bytes counts as one without prefixes. */
unsigned instruction_length(const uint8_t *bytes, unsigned count, bool in_64_bit_mode,
                            unsigned opcode);

/* The bytes' offset behind the prefixes. REX, where it is the last one, goes to *rex (else 0). */
unsigned instruction_prefixes(const uint8_t *bytes, unsigned count, bool in_64_bit_mode,
                              uint8_t *rex);
