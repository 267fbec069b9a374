/* Events through vmx/inject.c, into a guest that halts in every handler. SDM 3C 25.8.3, 27.6, 28.2. */
#include "core/pages.h"
#include "core/string.h"
#include "cpu/nmi_timer.h"
#include "cpu/port.h"
#include "selftest/bits.h"
#include "selftest/machine.h"
#include "selftest/selftest.h"
#include "selftest/tables.h"
#include "vmx/controls.h"
#include "vmx/operation.h"
#include "vmx/reasons.h"
#include "vmx/vmcs.h"

enum {
    IDT = 0x20000, /* guest-physical */
    STUB = 16,     /* bytes from one vector's stub to the next */
    NMI = 2,
    RFLAGS_IF = 1 << 9,
};

extern const uint8_t guest_events_stubs[], guest_events_after_sti[], guest_events_after_int[];

/* Where a label of the program is in the guest. */
static uint64_t address_of(const uint8_t *label) {
    return MACHINE_CODE + (uint64_t)(label - PROGRAM(events).start);
}

static void events_machine(struct machine *machine) {
    machine_create(machine, PROGRAM(events));
    uint64_t (*idt)[2] = (uint64_t (*)[2])(machine->vm.memory + IDT);
    for (uint64_t vector = 0; vector < 256; vector++) {
        uint64_t stub = address_of(guest_events_stubs) + vector * STUB;
        /* SDM 3A 6.14.1: a 64-bit interrupt gate to the code segment of loader.h */
        idt[vector][0] = (stub & 0xffff) | 0x10ull << 16 | 0x8eull << 40 | (stub >> 16) << 48;
    }
    vmcs_write(GUEST_IDTR_BASE, IDT);
    vmcs_write(GUEST_IDTR_LIMIT, 256 * 16 - 1);
}

/* What the stub and the processor pushed. */
struct frame {
    uint64_t vector;
    uint64_t words[6]; /* error code, if there is one; RIP CS RFLAGS RSP SS */
};

static struct frame frame_of(const struct machine *machine) {
    struct frame frame;
    memcpy(&frame, machine->vm.memory + vmcs_read(GUEST_RSP), sizeof frame);
    return frame;
}

/* Enters, and checks that the guest halts in this vector's handler. */
static bool handles(struct machine *machine, const char *what, uint64_t vector) {
    if (!machine_runs_until(machine, what, REASON_HLT)) {
        return false;
    }
    uint64_t rip = vmcs_read(GUEST_RIP);
    return check(rip >= address_of(guest_events_stubs), "%s: no handler ran, RIP is 0x%lx", what,
                 rip) &&
           check(frame_of(machine).vector == vector, "%s: vector %lu ran, not %lu", what,
                 frame_of(machine).vector, vector);
}

/* Out of the handler: by IRET, with the vector and perhaps an error code dropped. */
static void leave_handler(struct machine *machine, bool error_code) {
    machine->registers->rax = error_code ? 16 : 8;
    machine_skip(machine);
}

static bool halts_outside(struct machine *machine, const char *what, uint64_t count) {
    return machine_runs_until(machine, what, REASON_HLT) &&
           check(vmcs_read(GUEST_RIP) < address_of(guest_events_stubs), "%s: a handler ran",
                 what) &&
           check_equal("how far the guest came", machine->registers->rbx, count);
}

SELFTEST(nmis_that_exit_are_taken_in_root_operation,
         "an NMI that exits blocks further ones only until the hypervisor has taken it (28.5.5)") {
    enum { RUN = 2000, TIMES = 3 };
    struct machine machine;
    machine_create(&machine, PROGRAM(spin));
    nmi_timer_start();
    for (unsigned i = 0; i < TIMES; i++) {
        nmi_timer_set(rdtsc() + RUN);
        if (!machine_runs_until(&machine, "an NMI", REASON_EXCEPTION_OR_NMI)) {
            break;
        }
        struct vm_exit exit;
        exit_reason(REASON_EXCEPTION_OR_NMI)->decode(&exit); /* as exit.c does */
        check_equal("the kind of that exit", exit.kind, VM_EXIT_NMI);
    }
    nmi_timer_stop();
    machine_destroy(&machine);
}

SELFTEST(exceptions_are_injected,
         "an exception arrives with its error code, at the next instruction") {
    struct machine machine;
    events_machine(&machine);
    events_raise_exception(&machine.vcpu->vcpu.events, VECTOR_GP, true, 0x1234);
    if (handles(&machine, "#GP", VECTOR_GP)) {
        struct frame frame = frame_of(&machine);
        check_equal("its error code", frame.words[0], 0x1234);
        check_equal("the RIP that it interrupted", frame.words[1], MACHINE_CODE);
        check_equal("the event left to inject", vmcs_read(VM_ENTRY_INTERRUPTION_INFORMATION) >> 31,
                    0);
        leave_handler(&machine, true);
        halts_outside(&machine, "after #GP", 1);
    }
    machine_destroy(&machine);
}

SELFTEST(
    interrupts_wait_for_sti,
    "an interrupt waits until IF is set and one more instruction is over, then exits the window") {
    struct machine machine;
    events_machine(&machine);
    events_raise_interrupt(&machine.vcpu->vcpu.events, 0x41);
    halts_outside(&machine, "with interrupts off", 1);
    check(vmcs_read(PRIMARY_PROCESSOR_BASED_CONTROLS) & PRIMARY_INTERRUPT_WINDOW_EXITING,
          "no interrupt window was asked for");
    machine_skip(&machine);
    machine_runs_until(&machine, "the window", REASON_INTERRUPT_WINDOW);
    check_equal("RIP at the window", vmcs_read(GUEST_RIP), address_of(guest_events_after_sti));
    if (handles(&machine, "the interrupt", 0x41)) {
        check_equal("the RIP that it interrupted", frame_of(&machine).words[0],
                    address_of(guest_events_after_sti));
        check(!(vmcs_read(PRIMARY_PROCESSOR_BASED_CONTROLS) & PRIMARY_INTERRUPT_WINDOW_EXITING),
              "the window is still asked for");
        leave_handler(&machine, false);
        halts_outside(&machine, "after the interrupt", 3);
    }
    machine_destroy(&machine);
}

SELFTEST(nmis_wait_for_iret, "an NMI blocks the next until IRET, which then exits the NMI window") {
    struct machine machine;
    events_machine(&machine);
    struct events *events = &machine.vcpu->vcpu.events;
    events_raise_nmi(events);
    if (handles(&machine, "the first NMI", NMI)) {
        check_equal("blocking by NMI", vmcs_read(GUEST_INTERRUPTIBILITY_STATE), BLOCKING_BY_NMI);
        events_raise_nmi(events);
        leave_handler(&machine, false);
        machine_runs_until(&machine, "IRET", REASON_NMI_WINDOW);
        check_equal("blocking after IRET", vmcs_read(GUEST_INTERRUPTIBILITY_STATE), 0);
        handles(&machine, "the second NMI", NMI);
        leave_handler(&machine, false);
        halts_outside(&machine, "after both", 1);
    }
    machine_destroy(&machine);
}

/* 27.7.1: virtual-NMI blocking is what the VMCS says, whatever another guest was doing. */
SELFTEST(nmi_blocking_stays_with_its_guest,
         "a guest in its NMI handler does not block another's NMIs") {
    struct machine first, second;
    events_machine(&first);
    events_raise_nmi(&first.vcpu->vcpu.events);
    handles(&first, "the first guest's NMI", NMI);
    machine_create(&second, PROGRAM(count));
    machine_runs_until(&second, "the second guest", REASON_HLT);
    check_equal("its blocking", vmcs_read(GUEST_INTERRUPTIBILITY_STATE), 0);
    check_outcome("VMPTRLD", attempt_vmptrld((uint64_t)first.vcpu->vmcs), SUCCEEDED);
    check_equal("the first guest's blocking", vmcs_read(GUEST_INTERRUPTIBILITY_STATE),
                BLOCKING_BY_NMI);
    leave_handler(&first, false);
    halts_outside(&first, "the first guest, after its NMI", 1);
    check_equal("its blocking after IRET", vmcs_read(GUEST_INTERRUPTIBILITY_STATE), 0);
    machine_destroy(&second);
    machine_destroy(&first);
}

SELFTEST(events_go_in_order, "an exception goes before an NMI, and that before an interrupt") {
    struct machine machine;
    events_machine(&machine);
    struct events *events = &machine.vcpu->vcpu.events;
    vmcs_write(GUEST_RFLAGS, 2 | RFLAGS_IF);
    events_raise_interrupt(events, 0x80);
    events_raise_interrupt(events, 0x90);
    events_raise_nmi(events);
    events_raise_exception(events, VECTOR_UD, false, 0);
    /* #UD is delivered, and before its handler's first instruction the NMI could be. */
    machine_runs_until(&machine, "the delivery of #UD", REASON_NMI_WINDOW);
    check_equal("RIP", vmcs_read(GUEST_RIP), address_of(guest_events_stubs) + VECTOR_UD * STUB);
    handles(&machine, "the NMI", NMI);
    leave_handler(&machine, false);
    handles(&machine, "#UD", VECTOR_UD);
    leave_handler(&machine, false);
    machine_runs_until(&machine, "IRET", REASON_INTERRUPT_WINDOW);
    handles(&machine, "the higher interrupt", 0x90);
    leave_handler(&machine, false);
    machine_runs_until(&machine, "the next IRET", REASON_INTERRUPT_WINDOW);
    handles(&machine, "the lower interrupt", 0x80);
    machine_destroy(&machine);
}

/* The IDT goes away, so that delivery itself exits; when it is back, the event must arrive once. */
static void check_interrupted_delivery(const char *what, struct machine *machine, uint64_t vector,
                                       enum event_type type) {
    uint64_t *entry = table_entry(IDT, 1), good = *entry;
    *entry = 0;
    tables_changed();
    if (machine_runs_until(machine, what, REASON_EPT_VIOLATION)) {
        uint64_t information = vmcs_read(IDT_VECTORING_INFORMATION);
        check(information >> 31 & 1, "%s: no IDT-vectoring information", what);
        check(machine->vcpu->vcpu.events.now.valid, "%s: the event was not kept", what);
        check_equal("its type", machine->vcpu->vcpu.events.now.type, type);
        if (type == EVENT_NMI) {
            /* The exit may leave NMIs blocked as if this one had arrived (Bochs does not). */
            vmcs_write(GUEST_INTERRUPTIBILITY_STATE, BLOCKING_BY_NMI);
            vmx_keep_interrupted_event(machine->vcpu);
            check_equal("blocking by NMI", vmcs_read(GUEST_INTERRUPTIBILITY_STATE), 0);
        }
        *entry = good;
        tables_changed();
        handles(machine, what, vector);
        check(!machine->vcpu->vcpu.events.now.valid, "%s: it would arrive again", what);
    }
}

SELFTEST(interrupted_deliveries_go_on,
         "an exception, interrupt, NMI or INT whose delivery exits is delivered again, once") {
    struct machine machine;
    struct events *events;
    events_machine(&machine);
    events = &machine.vcpu->vcpu.events;
    events_raise_exception(events, VECTOR_GP, true, 0x5678);
    check_interrupted_delivery("#GP", &machine, VECTOR_GP, EVENT_EXCEPTION);
    check_equal("its error code", frame_of(&machine).words[0], 0x5678);
    machine_destroy(&machine);

    events_machine(&machine);
    events = &machine.vcpu->vcpu.events;
    vmcs_write(GUEST_RFLAGS, 2 | RFLAGS_IF);
    events_raise_interrupt(events, 0x41);
    check_interrupted_delivery("an interrupt", &machine, 0x41, EVENT_INTERRUPT);
    machine_destroy(&machine);

    events_machine(&machine);
    events = &machine.vcpu->vcpu.events;
    events_raise_nmi(events);
    check_interrupted_delivery("an NMI", &machine, NMI, EVENT_NMI);
    check_equal("blocking by NMI", vmcs_read(GUEST_INTERRUPTIBILITY_STATE), BLOCKING_BY_NMI);
    leave_handler(&machine, false);
    halts_outside(&machine, "after the NMI", 1);
    machine_destroy(&machine);

    events_machine(&machine);
    machine.registers->rcx = 1; /* the program executes INT 0x42 */
    check_interrupted_delivery("INT", &machine, 0x42, EVENT_SOFTWARE_INTERRUPT);
    check_equal("the RIP after INT", frame_of(&machine).words[0],
                address_of(guest_events_after_int));
    machine_destroy(&machine);
}

/* 28.2.3: IRET has unblocked NMIs already when its read of the stack exits; it will run again. */
SELFTEST(iret_that_exits_keeps_nmis_blocked,
         "an IRET whose stack is not there exits with NMIs unblocked, which decoding takes back") {
    enum { UNBLOCKED_BY_IRET = 1 << 12 };
    struct machine machine;
    struct vm_exit exit;
    events_machine(&machine);
    events_raise_nmi(&machine.vcpu->vcpu.events);
    if (handles(&machine, "the NMI", NMI)) {
        uint64_t *entry = table_entry(vmcs_read(GUEST_RSP), 1), good = *entry;
        *entry = 0;
        tables_changed();
        leave_handler(&machine, false);
        machine_runs_until(&machine, "IRET", REASON_EPT_VIOLATION);
        check(vmcs_read(EXIT_QUALIFICATION) & UNBLOCKED_BY_IRET, "the qualification is 0x%lx",
              vmcs_read(EXIT_QUALIFICATION));
        exit_reason(REASON_EPT_VIOLATION)->decode(&exit);
        check_equal("blocking when it runs again", vmcs_read(GUEST_INTERRUPTIBILITY_STATE),
                    BLOCKING_BY_NMI);
        *entry = good;
        tables_changed();
        halts_outside(&machine, "IRET again", 1);
        check_equal("blocking after it", vmcs_read(GUEST_INTERRUPTIBILITY_STATE), 0);
    }
    machine_destroy(&machine);
}

SELFTEST(halted_guests_wake,
         "a guest in the HLT activity state sleeps until the timer or an interrupt") {
    if (!(vmx_capabilities.misc & MISC_ACTIVITY_HLT)) {
        skip("this CPU has no HLT activity state (IA32_VMX_MISC[6])");
        return;
    }
    struct machine machine;
    events_machine(&machine);
    vmcs_write(GUEST_RFLAGS, 2 | RFLAGS_IF);
    vmcs_write(GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
    machine_runs_until(&machine, "sleep", REASON_PREEMPTION_TIMER);
    check_equal("the activity state", vmcs_read(GUEST_ACTIVITY_STATE), ACTIVITY_HLT);
    check_equal("how far the guest came", machine.registers->rbx, 0);
    events_raise_interrupt(&machine.vcpu->vcpu.events, 0x41);
    handles(&machine, "the interrupt", 0x41);
    check_equal("the activity state", vmcs_read(GUEST_ACTIVITY_STATE), ACTIVITY_ACTIVE);
    check_equal("the RIP that it interrupted", frame_of(&machine).words[0], MACHINE_CODE);
    machine_destroy(&machine);
}
