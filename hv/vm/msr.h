/* MSRs as guests may use them: one table, from which vendors build their bitmaps. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vm/vcpu.h"

enum msr_rule_kind {
    MSR_DIRECT,   /* the guest's own, switched by hardware or with the vCPU: no exit */
    MSR_EMULATED, /* read and written by a handler */
    MSR_CONSTANT, /* reads this value; a write of anything else is #GP */
    MSR_IGNORED,  /* reads this value; writes are swallowed */
};

struct msr_rule {
    uint32_t first, last;
    enum msr_rule_kind kind;
    uint64_t value;
};

extern const struct msr_rule msr_rules[];
extern const unsigned msr_rule_count;

/* False: no such MSR for this guest, or no such value: #GP(0). */
bool msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
bool msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);
