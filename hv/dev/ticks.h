/*
 * A clock that runs at a fixed rate since TSC 0. Its ticks are always worked out from the TSC and never
 * added up, so that it can't drift, however long it runs and however rarely somebody looks.
 */
#pragma once

#include <stdint.h>

#define TICKS_NEVER UINT64_MAX

struct ticks {
    uint64_t tsc_hz; /* below 2^43, as the rate is below 2^21: no product overflows */
    uint64_t rate;   /* Hz */
};

/* How many ticks have been when the TSC shows `now`: now * rate / tsc_hz, rounded down. */
static inline uint64_t ticks_at(const struct ticks *ticks, uint64_t now) {
    return now / ticks->tsc_hz * ticks->rate + now % ticks->tsc_hz * ticks->rate / ticks->tsc_hz;
}

/* The first TSC time at which there have been that many; TICKS_NEVER unless it is after `now`, so that
 * nobody waits for the past, even at the end of what a TSC can count. */
static inline uint64_t ticks_time(const struct ticks *ticks, uint64_t tick, uint64_t now) {
    uint64_t rest = tick % ticks->rate * ticks->tsc_hz;
    uint64_t time = tick / ticks->rate * ticks->tsc_hz + rest / ticks->rate;
    time += rest % ticks->rate != 0;
    return time > now ? time : TICKS_NEVER;
}
