/* All that the checks of a VM entry depend on, for the record of one that failed. */
#pragma once

#include <stdint.h>

/* Adds "msrs", the capability MSRs, and "cpuid" to the record being built. Safe before VMXON. */
void vmx_processor_record(void);

/* Adds "fields": every field of the current VMCS that this processor has, by encoding. */
void vmx_fields_record(void);
