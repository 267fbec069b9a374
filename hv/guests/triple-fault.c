/* Has no handlers at all and raises an exception: the processor can only give up. */
#include "guests/runtime.h"

int guest_main(void) {
    print("no handler for this\n");
    asm volatile("ud2");
    report(false, 0); /* not reached */
    return 1;
}
