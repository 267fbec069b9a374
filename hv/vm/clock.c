#include "vm/clock.h"

#include "cpu/port.h"
#include "vm/vcpu.h"

uint64_t clock_read(const struct clock *clock, uint64_t tsc) {
    return clock->runs ? tsc - clock->behind : clock->stood;
}

void clock_go(struct clock *clock, uint64_t tsc) {
    if (!clock->runs) {
        clock->behind = tsc - clock->stood;
        clock->runs = true;
    }
}

void clock_stop(struct clock *clock, uint64_t at) {
    clock->stood = at;
    clock->runs = false;
}

void clock_skip(struct clock *clock, uint64_t ticks) {
    clock->behind += clock->runs ? ticks : 0;
}

uint64_t clock_when(const struct clock *clock, uint64_t time) {
    uint64_t tsc;
    return __builtin_add_overflow(time, clock->behind, &tsc) ? UINT64_MAX : tsc;
}

uint64_t clock_now(const struct vcpu *vcpu) {
    return clock_read(&vcpu->clock, rdtsc());
}
