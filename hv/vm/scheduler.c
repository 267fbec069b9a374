#include "vm/scheduler.h"

#include <stddef.h>

#include "core/commands.h"
#include "core/nmi.h"
#include "core/time.h"
#include "cpu/port.h"
#include "vm/focus.h"
#include "vm/vm_commands.h"

static struct vm *machines;
static unsigned machine_count;
static struct vcpu *loaded; /* whose registers the processor holds */

static uint64_t slice; /* TSC ticks */

/* Something has happened to a guest that waits: perhaps nothing is left that it could wait for. */
static bool some_may_never_wake;

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

/* When something is due for the guest, in its time; UINT64_MAX is never. */
static uint64_t next_due(const struct vcpu *vcpu) {
    uint64_t device = vcpu->vm->platform.deadline;
    return vcpu->timer < device ? vcpu->timer : device;
}

static uint64_t next_due_tsc(const struct vcpu *vcpu) {
    return clock_when(&vcpu->clock, next_due(vcpu));
}

void scheduler_heed(struct vcpu *vcpu) {
    events_set_external(&vcpu->events, vcpu->vm->platform.interrupt);
    uint64_t due = next_due_tsc(vcpu);
    vcpu->deadline = due < vcpu->slice_end ? due : vcpu->slice_end;
}

/* The guest's time has come to `now`: whatever is due happens. */
static void advance(struct vcpu *vcpu, uint64_t now) {
    struct platform *platform = &vcpu->vm->platform;
    if (vcpu->timer <= now) {
        vcpu->timer = UINT64_MAX;
        events_raise_interrupt(&vcpu->events, vcpu->timer_vector);
    }
    if (platform->deadline <= now) {
        platform_advance(platform, now);
    }
    scheduler_heed(vcpu);
}

/* Ends the guest's HLT, if anything does. What it could not run since then is not its time. */
static bool wakes(struct vcpu *vcpu, uint64_t time) {
    if (!events_end_halt(&vcpu->events, vcpu->blocking)) {
        return false;
    }
    vcpu->state = VCPU_RUNNABLE;
    clock_stop(&vcpu->clock, time);
    return true;
}

/* Does the guest wait in HLT, with nothing yet to wake it? */
static bool waits(struct vcpu *vcpu, uint64_t tsc) {
    enum { MOST_STEPS = 16 }; /* then it gets what is left at once, or it could keep us here */
    if (vcpu->state != VCPU_HALTED) {
        return false;
    }
    if (tsc < vcpu->deadline && vcpu->events.external == vcpu->vm->platform.interrupt) {
        return true; /* as when it was looked at last */
    }
    some_may_never_wake = true;
    uint64_t now = clock_read(&vcpu->clock, tsc);
    scheduler_heed(vcpu);
    if (wakes(vcpu, now)) {
        return false;
    }
    /* One after the other: the first that wakes it stops its clock, long before `now` perhaps. */
    for (unsigned step = 1; next_due(vcpu) <= now; step++) {
        uint64_t time = step < MOST_STEPS ? next_due(vcpu) : now;
        advance(vcpu, time);
        if (wakes(vcpu, time)) {
            return false;
        }
        if (time == now) {
            break;
        }
    }
    return true;
}

static bool wants_processor(struct vm *vm, uint64_t now) {
    return vm->vcpu ? vm->vcpu->state != VCPU_ENDED && !waits(vm->vcpu, now)
                    : vm_needs_scrubbing(vm);
}

static uint64_t answered; /* TSC: when the harness was heard last */

/* What is done for the harness, or whoever types, is on no guest's bill, and no guest's time. */
static void answer_harness(struct vcpu *vcpu) {
    uint64_t start = rdtsc();
    answered = start;
    commands_poll();
    focus_poll();
    uint64_t spent = rdtsc() - start;
    vcpu->slice_end += vcpu->state == VCPU_HALTED ? 0 : spent;
    for (unsigned i = 0; i < machine_count; i++) {
        if (machines[i].vcpu) {
            clock_skip(&machines[i].vcpu->clock, spent);
        }
    }
}

/* All but one guest wait: until when that one can be left alone. It gets a slice in any case, or those
 * who wait often and briefly would get more than their share. */
static uint64_t end_of_quiet(uint64_t now) {
    enum { MOST_SLICES = 10 };
    uint64_t end = now + MOST_SLICES * slice, look = focus_next_poll();
    end = look < end ? look : end;
    for (unsigned i = 0; i < machine_count; i++) {
        const struct vcpu *vcpu = machines[i].vcpu;
        if (vcpu && vcpu->state == VCPU_HALTED && next_due_tsc(vcpu) < end) {
            end = next_due_tsc(vcpu);
        }
    }
    return end > now + slice ? end : now + slice;
}

bool scheduler_timer(struct vcpu *vcpu) {
    uint64_t now = rdtsc();
    if (vcpu->state == VCPU_HALTED) {
        return true; /* the wait of vcpu_wait is over; what runs now is for scheduler_run to decide */
    }
    advance(vcpu, clock_read(&vcpu->clock, now));
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
    vcpu->slice_end = end_of_quiet(now);
    scheduler_heed(vcpu);
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

/* Of those that wait, the one for which something is due first; NULL: there is none. */
static struct vm *first_to_wake(void) {
    struct vm *first = NULL;
    for (unsigned i = 0; i < machine_count; i++) {
        const struct vcpu *vcpu = machines[i].vcpu;
        if (vcpu && vcpu->state == VCPU_HALTED &&
            (!first || next_due_tsc(vcpu) < next_due_tsc(first->vcpu))) {
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

static void run_slice(struct vcpu *vcpu, uint64_t now) {
    vcpu->slice_end = now + slice - vcpu->overrun;
    clock_go(&vcpu->clock, rdtsc());
    scheduler_heed(vcpu);
    virt->vcpu_run(vcpu);
    charge_overrun(vcpu);
    uint64_t time = clock_now(vcpu);
    if (vcpu->state == VCPU_HALTED) {
        vcpu->slice_end = UINT64_MAX;
        some_may_never_wake = true;
        advance(vcpu, time); /* what follows is after all that the guest has seen */
        wakes(vcpu, time);
    } else {
        clock_stop(&vcpu->clock, time);
    }
}

/* Nobody can run, and this one will be the first who can; unless something is typed before that. */
static void wait(struct vcpu *vcpu) {
    uint64_t due = next_due_tsc(vcpu), look = focus_next_poll();
    vcpu->deadline = due < look ? due : look;
    virt->vcpu_wait(vcpu);
    answer_harness(vcpu);
}

static void end(struct vm *vm, void (*ended)(struct vm *vm)) {
    vm->vcpu->state = VCPU_ENDED;
    if (loaded == vm->vcpu) {
        loaded = NULL;
    }
    ended(vm);
}

/* Its own timers raise interrupts for a guest that halts, or what is typed, and only if it takes any. */
static bool can_wake(const struct vcpu *vcpu) {
    return events_end_halt(&vcpu->events, vcpu->blocking) ||
           ((next_due(vcpu) != UINT64_MAX || focus_may_wake(vcpu->vm)) &&
            !vcpu->blocking.interrupts_off);
}

static void end_those_that_never_wake(void (*ended)(struct vm *vm)) {
    if (!some_may_never_wake) {
        return;
    }
    some_may_never_wake = false;
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
    for (unsigned i = 0; i < count; i++) {
        vms[i].started = rdtsc();
    }
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
        if (run && now - answered >= slice) {
            answer_harness(vcpu); /* guests that halt before every slice's end keep nobody out */
            now = rdtsc();
        }
        load(vcpu);
        if (run) {
            run_slice(vcpu, now);
        } else {
            wait(vcpu);
        }
        if (vm->end != VM_RUNNING) {
            end(vm, ended);
        }
    }
}
