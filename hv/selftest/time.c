/* The preemption timer and the guest's TSC. SDM 3C 25.6.5, 26.5.1, A.6. */
#include "cpu/port.h"
#include "selftest/bits.h"
#include "selftest/machine.h"
#include "selftest/selftest.h"
#include "vmx/controls.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

/* An entry and an exit take time themselves: more of it under another hypervisor. */
enum { SLACK = 200000 };

SELFTEST(preemption_timer_rate,
         "the preemption timer counts the TSC shifted right by IA32_VMX_MISC[4:0]") {
    struct machine machine;
    machine_create(&machine, PROGRAM(spin));
    unsigned rate = vmx_capabilities.misc & MISC_TIMER_RATE;
    for (uint64_t value = 1000; value <= 64000; value *= 4) {
        vmcs_write(VMX_PREEMPTION_TIMER_VALUE, value);
        uint64_t before = rdtsc();
        struct entry_result result = enter(machine.vcpu);
        uint64_t ticks = rdtsc() - before;
        check_equal("the exit reason", result.reason, REASON_PREEMPTION_TIMER);
        check(ticks >= (value - 1) << rate && ticks <= (value << rate) + SLACK,
              "the value %lu at rate %u took %lu ticks", value, rate, ticks);
    }
    note("rate %u", rate);
    machine_destroy(&machine);
}

SELFTEST(preemption_timer_at_zero,
         "with the timer at 0 a guest comes back before its first instruction") {
    struct machine machine;
    machine_create(&machine, PROGRAM(count_up));
    vmcs_write(VMX_PREEMPTION_TIMER_VALUE, 0);
    check_equal("the exit reason", enter(machine.vcpu).reason, REASON_PREEMPTION_TIMER);
    check_equal("what it counted", machine.registers->rax, 0);
    check_equal("RIP", vmcs_read(GUEST_RIP), MACHINE_CODE);
    machine_destroy(&machine);
}

SELFTEST(deadlines_are_absolute,
         "a deadline that has passed already is one for the next entry at once") {
    struct machine machine;
    machine_create(&machine, PROGRAM(count_up));
    machine.vm.vcpu->deadline = rdtsc();
    vmx_prepare_entry(machine.vcpu);
    check_equal("the exit reason", enter(machine.vcpu).reason, REASON_PREEMPTION_TIMER);
    check_equal("what it counted", machine.registers->rax, 0);
    /* One that is further away than the timer can count: the timer is set to its most. */
    unsigned rate = vmx_capabilities.misc & MISC_TIMER_RATE;
    machine.vm.vcpu->deadline = rdtsc() + (1ull << (33 + rate));
    vmx_prepare_entry(machine.vcpu);
    check_equal("the timer", vmcs_read(VMX_PREEMPTION_TIMER_VALUE), 0xffffffff);
    machine_destroy(&machine);
}

static uint64_t guest_tsc(struct machine *machine, uint64_t *before, uint64_t *after) {
    *before = rdtsc();
    machine_runs_until(machine, "RDTSC", REASON_HLT);
    *after = rdtsc();
    machine_skip(machine);
    return machine->registers->rdx << 32 | (uint32_t)machine->registers->rax;
}

SELFTEST(tsc_offset,
         "a guest's TSC is the processor's less what its clock is behind, by TSC_OFFSET") {
    struct machine machine;
    uint64_t before, after;
    machine_create(&machine, PROGRAM(rdtsc));
    const uint64_t behind[] = {0, 1ull << 20, -(1ull << 40)};
    for (unsigned i = 0; i < sizeof behind / sizeof behind[0]; i++) {
        machine.vm.vcpu->clock.behind = behind[i];
        uint64_t tsc = guest_tsc(&machine, &before, &after);
        check(tsc + behind[i] >= before && tsc + behind[i] <= after,
              "0x%lx behind, the guest read %lu between %lu and %lu", behind[i], tsc, before,
              after);
    }
    machine_destroy(&machine);
}
