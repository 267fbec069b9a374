#include "core/panic.h"
#include "core/records.h"
#include "cpu/port.h"
#include "debug.h"
#include "guests/abi.h"
#include "vm/handlers.h"
#include "vm/scheduler.h"

enum { FIRST_FREE_VECTOR = 32, LAST_VECTOR = 255 };

static uint64_t report(struct vm *vm, uint64_t passed, uint64_t value) {
    if (passed > 1) {
        return HYPERCALL_BAD_ARGUMENT;
    }
    record_begin("report");
    record_text("guest", vm->options.name);
    record_flag("passed", passed);
    record_hex("value", value);
    record_end();
    return 0;
}

static bool is_free_vector(uint64_t vector) {
    return vector >= FIRST_FREE_VECTOR && vector <= LAST_VECTOR;
}

static uint64_t set_timer(struct vcpu *vcpu, uint64_t ticks, uint64_t vector) {
    uint64_t due;
    if (!is_free_vector(vector) || __builtin_add_overflow(clock_now(vcpu), ticks, &due)) {
        return HYPERCALL_BAD_ARGUMENT;
    }
    vcpu->timer = ticks ? due : UINT64_MAX;
    vcpu->timer_vector = (uint8_t)vector;
    scheduler_heed(vcpu);
    return 0;
}

static uint64_t carry_out(struct vcpu *vcpu, uint64_t number, uint64_t first, uint64_t second) {
    switch (number) {
    case HYPERCALL_VERSION: return HYPERCALL_ABI_VERSION;
    case HYPERCALL_REPORT: return report(vcpu->vm, first, second);
    case HYPERCALL_PANIC:
        if (debug == DEBUG_PANIC) {
            panic("guest %s asked for it (debug=panic)", vcpu->vm->options.name);
        }
        return HYPERCALL_NOT_PERMITTED;
    case HYPERCALL_TIMER: return set_timer(vcpu, first, second);
    case HYPERCALL_INTERRUPT:
        if (!is_free_vector(first)) {
            return HYPERCALL_BAD_ARGUMENT;
        }
        events_raise_interrupt(&vcpu->events, (uint8_t)first);
        return 0;
    case HYPERCALL_NMI: events_raise_nmi(&vcpu->events); return 0;
    default: return HYPERCALL_UNKNOWN;
    }
}

enum vm_action handle_hypercall(struct vcpu *vcpu, const struct vm_exit *exit) {
    (void)exit;
    struct guest_registers *registers = &vcpu->registers;
    uint64_t mask = vcpu_in_64_bit_mode(vcpu) ? ~0ull : 0xffffffff;
    uint64_t number = registers->rax & mask, first = registers->rdi & mask;
    if (vcpu_privilege_level(vcpu) != 0) {
        registers->rax = HYPERCALL_NOT_PERMITTED & mask;
    } else if (number == HYPERCALL_EXIT) {
        vcpu->vm->end = VM_ENDED_EXIT;
        vcpu->vm->exit_code = first;
        return VM_LEAVE;
    } else {
        registers->rax = carry_out(vcpu, number, first, registers->rsi & mask) & mask;
    }
    return VM_SKIP;
}
