/* Halts with interrupts off: nothing can wake it, so that is its end. */
#include "guests/runtime.h"

int guest_main(void) {
    print("halting for good\n");
    asm volatile("cli; hlt");
    report(false, 0); /* not reached */
    return 1;
}
