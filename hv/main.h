/* The hypervisor's own options, from its command line. */
#pragma once

#include <stdbool.h>

struct options {
    bool debug_panic; /* debug=panic: HYPERCALL_PANIC is permitted */
};

extern struct options options;
