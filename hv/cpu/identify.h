/* Which processor this is, and whether a hypervisor runs below. */
#pragma once

#include <stdbool.h>

/* Adds the members "cpu" and "hypervisor" to the record being built. */
void identify_record(void);

/* The processor's brand string, or its vendor where it has none; the text is static. */
const char *identify_brand(void);

/* The signature that a hypervisor below gives at CPUID leaf 0x40000000, or NULL on bare hardware. */
const char *identify_hypervisor_below(void);
