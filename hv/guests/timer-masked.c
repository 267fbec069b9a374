/* Sets its timer, but halts with interrupts off: that interrupt can't wake it, so that is its end. */
#include "guests/interrupts.h"
#include "guests/runtime.h"

int guest_main(void) {
    interrupts_start();
    hypercall(HYPERCALL_TIMER, 20000, 0x40);
    print("halting for good\n");
    asm volatile("cli; hlt");
    report(false, 0); /* not reached */
    return 1;
}
