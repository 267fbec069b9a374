/* Good VMCSs, one for each mode of a guest: each enters, and exits at once by CPUID. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmentry/fields.h"

enum { BASES = 5 };

struct base {
    const char *name;
    bool present; /* this processor can enter such a guest */
    void *region;
    struct field_values values;
};

extern struct base bases[BASES];

/* Makes them all, and proves each by an entry. */
void bases_start(void);

/* Makes the VMCS of this base the current one. */
void base_load(const struct base *base);
