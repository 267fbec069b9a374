/* Reaches for memory that is not its own: one byte past the end, by default of 4 MiB. */
#include "guests/runtime.h"

enum { MINE = 4 << 20 };

int guest_main(void) {
    volatile uint8_t *memory = (volatile uint8_t *)0;
    memory[MINE - 4096] = 1; /* the last page is its own */
    print("writing past the end of my memory\n");
    memory[MINE] = 1;
    report(false, MINE); /* not reached */
    return 1;
}
