/* Never ends. Only a time limit helps. */
#include "guests/runtime.h"

int guest_main(void) {
    print("spinning\n");
    for (;;) {
        asm volatile("pause");
    }
}
