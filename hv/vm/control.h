/* What guests may have in CR4 and IA32_EFER. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vm/vcpu.h"

/* By the features that CPUID shows to guests. */
uint64_t control_cr4_allowed(void);

/* WRMSR of IA32_EFER; false is #GP(0). */
bool control_write_efer(struct vcpu *vcpu, uint64_t value);
