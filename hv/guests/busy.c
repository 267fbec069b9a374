/* Counts for four million ticks of its own TSC. */
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
