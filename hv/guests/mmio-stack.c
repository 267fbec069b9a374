/* Takes an exception on a stack that is a device page: it is stopped. */
#include "guests/interrupts.h"
#include "guests/runtime.h"

int guest_main(void) {
    interrupts_start();
    print("pushing onto a device\n");
    asm volatile("mov $0xd0000800, %%esp; ud2" : : : "memory");
    report(false, 0); /* not reached */
    return 1;
}
