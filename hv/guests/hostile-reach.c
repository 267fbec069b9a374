/* Reads, writes or executes one guest-physical address, wherever its page tables must point for that. */
#include "guests/hostile.h"

enum { READ = 0, WRITE = 1, EXECUTE = 2, KIND = 3 };

/* The address, with the kind of access in its lowest bits. */
volatile struct parameter parameter = {PARAMETER_MARK, {.value = 0xfee00000}};

static const uint64_t WINDOW = 3ul << 30; /* linear; for what lies beyond the first 4 GiB */

static void reach(uint64_t linear) {
    switch (parameter.value & KIND) {
    case READ: (void)*(volatile uint8_t *)linear; break;
    case WRITE: *(volatile uint8_t *)linear = 1; break;
    default: ((void (*)(void))linear)(); break;
    }
}

int guest_main(void) {
    interrupts_start();
    uint64_t physical = parameter.value & ~(uint64_t)KIND, linear = physical;
    if (physical >> 32) {
        map_large(WINDOW, physical);
        linear = WINDOW + physical % LARGE_PAGE_SIZE;
    }
    struct caught caught = attempt(reach, linear);
    print(caught.any ? "a fault of my own\n" : "got it\n");
    /* An address wider than the processor's is a reserved bit: #PF with that error code. */
    bool reserved = caught.any && caught.vector == VECTOR_PAGE_FAULT && caught.error_code & 8;
    report(reserved, caught.any ? caught.vector : 0x60d);
    return !reserved;
}
