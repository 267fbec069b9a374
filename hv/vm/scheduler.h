/*
 * Which guest runs: round robin in slices that end at absolute TSC times, so that time spent in the
 * hypervisor on a guest's behalf comes out of that guest's slice and no other's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vm/vm.h"

enum { SLICE_MICROSECONDS = 1000 }; /* more only where exits are dear */

/* Runs these machines until each has ended; `ended` is called for each, once. What memory it leaves to
 * be scrubbed is scrubbed in slices too: a large guest's end would hold the others up for seconds. */
void scheduler_run(struct vm *vms, unsigned count, void (*ended)(struct vm *vm));

/* The TSC time at which the guest that runs must stop: its slice's end, or something that it is to get. */
static inline uint64_t scheduler_deadline(const struct vcpu *vcpu) {
    return vcpu->deadline;
}

/* Its platform or its timer has been touched: what they ask for now, and when they will. */
void scheduler_heed(struct vcpu *vcpu);

/* That time has come: raises the guest's timer if it is due; true if the slice is over. */
bool scheduler_timer(struct vcpu *vcpu);
