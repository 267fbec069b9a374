/* The machine's own clock, the MC146818 behind ports 70H and 71H: guests' clocks start from it. */
#pragma once

#include <stdint.h>

/* Seconds since 1970 as the clock shows them, in whatever time zone it is set to; 0 where there is no
 * clock, or none that shows a date. */
uint64_t wall_clock_seconds(void);
