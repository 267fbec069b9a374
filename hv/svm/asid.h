/* Address space identifiers, APM 2 15.16: each vCPU has its own, for as long as there are enough. */
#pragma once

#include "svm/vcpu.h"

/* Before a vCPU runs: gives it an identifier under which no other's translations are cached. */
void asid_take(struct svm_vcpu *vcpu);

/* Drops what is cached of the guest's own page tables, at the next entry. */
void asid_flush(struct svm_vcpu *vcpu);
