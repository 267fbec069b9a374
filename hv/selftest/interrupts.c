/* External interrupts while a guest runs: the hypervisor's, never the guest's. SDM 3C 26.2, 28.2.2. */
#include "selftest/bits.h"
#include "selftest/product.h"
#include "selftest/selftest.h"
#include "vmx/controls.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

/* The local APIC, SDM 3A 11.4.1 and 11.6.1. */
enum {
    APIC = (int)0xfee00000,
    APIC_EOI = 0xb0,
    APIC_SPURIOUS = 0xf0,
    APIC_COMMAND = 0x300,
    APIC_ENABLED = 1 << 8,
    TO_SELF = 1 << 18,
    VECTOR = 0x40,
};

static volatile uint32_t *apic(unsigned offset) {
    return (volatile uint32_t *)(uint64_t)((uint32_t)APIC + offset);
}

enum { RFLAGS_IF = 1 << 9 };

/* An interrupt from the local APIC to its own processor. The result is for apic_restore. */
static uint32_t raise_interrupt(void) {
    uint32_t spurious = *apic(APIC_SPURIOUS);
    *apic(APIC_SPURIOUS) = 0xff | APIC_ENABLED;
    *apic(APIC_COMMAND) = TO_SELF | VECTOR;
    return spurious;
}

static void apic_restore(uint32_t spurious) {
    *apic(APIC_EOI) = 0;
    *apic(APIC_SPURIOUS) = spurious;
}

static void set_acknowledge(bool acknowledge) {
    uint64_t controls = vmcs_read(PRIMARY_VM_EXIT_CONTROLS);
    vmcs_write(PRIMARY_VM_EXIT_CONTROLS, acknowledge ? controls | EXIT_ACKNOWLEDGE_INTERRUPT
                                                     : controls & ~EXIT_ACKNOWLEDGE_INTERRUPT);
}

static void check_interrupt_exits(uint64_t flags) {
    struct machine machine;
    machine_create(&machine, PROGRAM(count_up));
    vmcs_write(GUEST_RFLAGS, 2 | flags);
    set_acknowledge(false);
    uint32_t spurious = raise_interrupt();
    for (unsigned turn = 0; turn < 3; turn++) {
        machine_runs_until(&machine, "without acknowledgement", REASON_EXTERNAL_INTERRUPT);
        check_equal("the exit's information", vmcs_read(VM_EXIT_INTERRUPTION_INFORMATION) >> 31, 0);
    }
    check_equal("what the guest counted", machine.registers->rax, 0);
    set_acknowledge(true);
    machine_runs_until(&machine, "with acknowledgement", REASON_EXTERNAL_INTERRUPT);
    check_equal("the exit's information", vmcs_read(VM_EXIT_INTERRUPTION_INFORMATION),
                INTERRUPTION_VALID | VECTOR);
    machine_runs_until(&machine, "with nothing pending", REASON_PREEMPTION_TIMER);
    check(machine.registers->rax > 0, "the guest did not run");
    apic_restore(spurious);
    machine_destroy(&machine);
}

SELFTEST(external_interrupts_exit,
         "an external interrupt exits with reason 1, and pends until an exit acknowledges it") {
    check_interrupt_exits(RFLAGS_IF);
}

SELFTEST(external_interrupts_exit_with_interrupts_off,
         "an external interrupt exits with reason 1 also while RFLAGS.IF of the guest is 0") {
    check_interrupt_exits(0);
}

/* Firmware may leave a timer running. Were the interrupt not acknowledged, it would exit for ever. */
SELFTEST(stray_interrupts_do_not_stop_guests,
         "an interrupt that nobody waits for costs a guest an exit, and not its life") {
    uint32_t spurious = raise_interrupt();
    const struct vm *vm = product_runs(PROGRAM(sti_exit_42), 0);
    check_equal("exits for one interrupt", vm->exits[VM_EXIT_INTERRUPT], 1);
    apic_restore(spurious);
}
