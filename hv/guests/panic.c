/* Asks the hypervisor to panic, so that the harness has one to see; that needs debug=panic. */
#include "guests/runtime.h"

int guest_main(void) {
    print("asking for a panic\n");
    uint64_t result = hypercall(HYPERCALL_PANIC, 0, 0);
    report(result == HYPERCALL_NOT_PERMITTED, result);
    return 0;
}
