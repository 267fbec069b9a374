/* Mistakes on demand (debug=WORD), so that tests see every report that a real mistake would give. */
#pragma once

#include <stdbool.h>

enum debug {
    DEBUG_NONE,
    DEBUG_PANIC,          /* HYPERCALL_PANIC is permitted */
    DEBUG_NULL,           /* read through a null pointer */
    DEBUG_NULL_IN_EXIT,   /* the same in an exit handler: a guest's first CPUID */
    DEBUG_WRITE_TEXT,     /* write to the hypervisor's own code */
    DEBUG_EXECUTE_DATA,   /* jump into its data */
    DEBUG_STACK_OVERFLOW, /* recurse for ever */
    DEBUG_TRIPLE_FAULT,   /* an exception with no IDT */
    DEBUG_SPIN,           /* loop for ever before the first guest */
    DEBUG_GO_ON,          /* a guest that reaches outside gets #GP(0) instead of being stopped */
    DEBUG_BAD_CONTROLS,   /* VM entry with an invalid control field: error 7 */
    DEBUG_BAD_HOST,       /* VM entry with an invalid host-state field: error 8 */
    DEBUG_BAD_EPT,        /* an EPT entry that is writable but not readable */
    DEBUG_BAD_GUEST,      /* VM entry with invalid guest state: exit reason 33 */
};

extern enum debug debug;

/* False if there is no such word. */
bool debug_parse(const char *word);

/* Makes the mistakes that concern the hypervisor alone; the others are made where they belong. */
void debug_run(void);
