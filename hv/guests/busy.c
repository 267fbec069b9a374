/* Counts for one second of emulated time (at four million ticks a second): its share of the CPU. */
#include "cpu/port.h"

#include "guests/runtime.h"

enum { TICKS = 4000000 };

int guest_main(void) {
    uint64_t start = rdtsc(), count = 0;
    while (rdtsc() - start < TICKS) {
        count++;
    }
    report(true, count);
    return 0;
}
