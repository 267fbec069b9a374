/* Time since boot by the TSC, whose rate is measured once against the 8254 timer. */
#pragma once

#include <stdint.h>

enum { TIME_PIT_HZ = 1193182 }; /* of the 8254 */

void time_start(void);
uint64_t time_microseconds(void);
uint64_t time_tsc_hz(void);
