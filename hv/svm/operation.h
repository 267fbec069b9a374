/* AMD-V on and off, APM 2 15.4. */
#pragma once

#include "svm/capabilities.h"

/* Valid after svm_start. */
extern struct svm_capabilities svm_capabilities;

void svm_start(void);
void svm_stop(void);

/* Where VMLOAD finds the hypervisor's own TR, LDTR, FS and GS (physical). */
extern uint64_t svm_host_vmcb;
