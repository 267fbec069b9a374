/*
 * A guest's own time. Its TSC, from which its devices take theirs too, stands still while the guest
 * could run but another has the processor, and while the hypervisor works for somebody else; it runs on
 * while the guest waits in HLT. So a guest that shares its processor loses no ticks and gets none in
 * bunches. All of it is one number: how far the guest's TSC is behind the processor's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* All zero: it has never run, and its TSC is 0. */
struct clock {
    uint64_t behind; /* while it runs: the processor's TSC less the guest's */
    uint64_t stood;  /* while it stands: the guest's TSC */
    bool runs;
};

/* In these `tsc` is the processor's, and it never goes back. */
uint64_t clock_read(const struct clock *clock, uint64_t tsc);
void clock_go(struct clock *clock, uint64_t tsc);

/* It stands at `at`, guest TSC: now, or a moment that the guest has not seen pass. */
void clock_stop(struct clock *clock, uint64_t at);

/* So many ticks have passed for the processor but not for the guest. */
void clock_skip(struct clock *clock, uint64_t ticks);

/* When a clock that runs on comes to `time`, guest TSC; UINT64_MAX is never. */
uint64_t clock_when(const struct clock *clock, uint64_t time);

/* What a guest's RDTSC reads at this moment. */
struct vcpu;
uint64_t clock_now(const struct vcpu *vcpu);
