/* Greets through its UART, checks the hypercall interface, and ends. */
#include "guests/runtime.h"

int guest_main(void) {
    print("Hello from a guest\n");
    uint64_t version = hypercall(HYPERCALL_VERSION, 0, 0);
    bool unknown_is_refused = hypercall((enum hypercall)0x7fffffff, 0, 0) == HYPERCALL_UNKNOWN;
    report(version == HYPERCALL_ABI_VERSION && unknown_is_refused, version);
    return 0;
}
