/* Floods the hypervisor with exits, for longer than `busy` counts: it must pay for them itself. */
#include "cpu/cpuid.h"
#include "cpu/port.h"

#include "guests/runtime.h"

enum { TICKS = 4200000 };

int guest_main(void) {
    uint64_t start = rdtsc(), count = 0;
    while (rdtsc() - start < TICKS) {
        cpuid(1, 0);
        count++;
    }
    report(true, count);
    return 0;
}
