#include "vm/scheduler.h"

#include <stddef.h>

#include "core/commands.h"
#include "core/nmi.h"
#include "core/time.h"
#include "cpu/port.h"
#include "vm/vm_commands.h"

static struct vm *machines;
static unsigned machine_count;
static struct vcpu *loaded; /* whose registers the processor holds */

static uint64_t slice; /* TSC ticks */

/*
 * Where exits are dear, as they are under another hypervisor, a millisecond may not even pay for the
 * switch: the guests would take turns without ever running. So a slice is worth some exits, by the
 * least delay seen from a slice's end until it is noticed here; the first few may have had to wait
 * for something else, and don't count yet.
 */
static void learn_delay(uint64_t delay) {
    enum { ENOUGH_SEEN = 8, WORTH_EXITS = 8, MOST_MILLISECONDS = 50 };
    static uint64_t least = UINT64_MAX;
    static unsigned seen;
    if (seen == ENOUGH_SEEN && delay >= least) {
        return;
    }
    least = delay < least ? delay : least;
    seen += seen < ENOUGH_SEEN;
    uint64_t plain = SLICE_MICROSECONDS * time_tsc_hz() / 1000000;
    uint64_t worthwhile = seen < ENOUGH_SEEN ? 0 : WORTH_EXITS * least;
    uint64_t most = MOST_MILLISECONDS * 1000 * time_tsc_hz() / 1000000;
    slice = worthwhile < plain ? plain : worthwhile < most ? worthwhile : most;
}

static bool is_due(const struct vcpu *vcpu, uint64_t now) {
    return vcpu->timer && vcpu->timer <= now;
}

static void raise_timer(struct vcpu *vcpu) {
    vcpu->timer = 0;
    events_raise_interrupt(&vcpu->events, vcpu->timer_vector);
}

/* Does the guest wait in HLT, with nothing yet to wake it? */
static bool waits(struct vcpu *vcpu, uint64_t now) {
    if (vcpu->state != VCPU_HALTED) {
        return false;
    }
    if (is_due(vcpu, now)) {
        raise_timer(vcpu);
    }
    if (events_end_halt(&vcpu->events, vcpu->blocking)) {
        vcpu->state = VCPU_RUNNABLE;
        return false;
    }
    return true;
}

static bool wants_processor(struct vm *vm, uint64_t now) {
    return vm->vcpu ? vm->vcpu->state != VCPU_ENDED && !waits(vm->vcpu, now)
                    : vm_needs_scrubbing(vm);
}

/* What is done for the harness is on no guest's bill. */
static void answer_harness(struct vcpu *vcpu) {
    uint64_t start = rdtsc();
    commands_poll();
    vcpu->slice_end += rdtsc() - start;
}

bool scheduler_timer(struct vcpu *vcpu) {
    uint64_t now = rdtsc();
    if (is_due(vcpu, now)) {
        raise_timer(vcpu);
    }
    if (vcpu->state == VCPU_HALTED) {
        answer_harness(vcpu);
        return true; /* the wait of vcpu_wait is over; what runs now is for scheduler_run to decide */
    }
    if (now < vcpu->slice_end) {
        return false;
    }
    learn_delay(now - vcpu->slice_end);
    answer_harness(vcpu);
    for (unsigned i = 0; i < machine_count; i++) {
        if (machines[i].vcpu != vcpu && wants_processor(&machines[i], now)) {
            return true;
        }
    }
    /* Nobody else wants the processor: go on without the cost of a switch. */
    vcpu->slice_end = now + slice;
    return false;
}

static void load(struct vcpu *vcpu) {
    if (loaded == vcpu) {
        return;
    }
    if (loaded) {
        vcpu_save(loaded);
    }
    vcpu_load(vcpu);
    loaded = vcpu;
}

/* The next machine after `last` that can run; NULL: all wait or have ended. */
static struct vm *next_runnable(unsigned last, uint64_t now) {
    for (unsigned i = 1; i <= machine_count; i++) {
        struct vm *vm = &machines[(last + i) % machine_count];
        if (wants_processor(vm, now)) {
            return vm;
        }
    }
    return NULL;
}

/* Of those that wait, the one whose timer comes first; NULL: none will ever wake. */
static struct vm *first_to_wake(void) {
    struct vm *first = NULL;
    for (unsigned i = 0; i < machine_count; i++) {
        const struct vcpu *vcpu = machines[i].vcpu;
        bool waits_for_timer = vcpu && vcpu->state == VCPU_HALTED && vcpu->timer;
        if (waits_for_timer && (!first || vcpu->timer < first->vcpu->timer)) {
            first = &machines[i];
        }
    }
    return first;
}

/* An exit that is handled when the slice ends takes as long as it takes, a line on the console for
 * milliseconds: that comes out of the guest's next slices, or a flood of exits would pay. */
static void charge_overrun(struct vcpu *vcpu) {
    uint64_t now = rdtsc();
    vcpu->overrun = now > vcpu->slice_end ? now - vcpu->slice_end : 0;
}

static void end(struct vm *vm, void (*ended)(struct vm *vm)) {
    vm->vcpu->state = VCPU_ENDED;
    if (loaded == vm->vcpu) {
        loaded = NULL;
    }
    ended(vm);
}

/* Only its own timer raises interrupts for a guest that halts, and only if it takes interrupts. */
static bool can_wake(const struct vcpu *vcpu) {
    return events_end_halt(&vcpu->events, vcpu->blocking) ||
           (vcpu->timer && !vcpu->blocking.interrupts_off);
}

static void end_those_that_never_wake(void (*ended)(struct vm *vm)) {
    for (unsigned i = 0; i < machine_count; i++) {
        struct vm *vm = &machines[i];
        if (vm->vcpu && vm->vcpu->state == VCPU_HALTED && !can_wake(vm->vcpu)) {
            vm->end = VM_ENDED_HALT;
            end(vm, ended);
        }
    }
}

void scheduler_run(struct vm *vms, unsigned count, void (*ended)(struct vm *vm)) {
    machines = vms;
    machine_count = count;
    vm_offer_commands(vms, count);
    slice = SLICE_MICROSECONDS * time_tsc_hz() / 1000000;
    unsigned last = count ? count - 1 : 0;
    for (;;) {
        nmi_report();
        end_those_that_never_wake(ended);
        uint64_t now = rdtsc();
        struct vm *vm = next_runnable(last, now);
        bool run = vm;
        if (!vm) {
            vm = first_to_wake();
            if (!vm) {
                return; /* all have ended */
            }
        }
        struct vcpu *vcpu = vm->vcpu;
        if (run) {
            last = (unsigned)(vm - machines);
            if (!vcpu) {
                vm_scrub(vm, now + slice);
                continue;
            }
            if (vcpu->overrun >= slice) {
                vcpu->overrun -= slice; /* this turn is spent already */
                continue;
            }
        }
        load(vcpu);
        if (run) {
            vcpu->slice_end = now + slice - vcpu->overrun;
            virt->vcpu_run(vcpu);
            charge_overrun(vcpu);
        } else {
            vcpu->slice_end = vcpu->timer;
            virt->vcpu_wait(vcpu);
        }
        if (vm->end != VM_RUNNING) {
            end(vm, ended);
        }
    }
}
