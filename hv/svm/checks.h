/* What VMRUN checks, APM 2 15.5.1, for a person: the processor only says VMEXIT_INVALID. Pure. */
#pragma once

#include "svm/vmcb.h"

/* The first check that this VMCB does not pass; NULL if none of those that can be told here. */
const char *svm_violation(const struct vmcb *vmcb);
