#include "core/panic.h"
#include "core/records.h"
#include "debug.h"
#include "guests/abi.h"
#include "vm/handlers.h"

enum vm_action handle_hypercall(struct vcpu *vcpu, const struct vm_exit *exit) {
    (void)exit;
    struct guest_registers *registers = &vcpu->registers;
    struct vm *vm = vcpu->vm;
    uint64_t result = 0;
    switch (registers->rax) {
    case HYPERCALL_VERSION: result = HYPERCALL_ABI_VERSION; break;
    case HYPERCALL_EXIT:
        vm->end = VM_ENDED_EXIT;
        vm->exit_code = registers->rdi;
        return VM_LEAVE;
    case HYPERCALL_REPORT:
        if (registers->rdi > 1) {
            result = HYPERCALL_BAD_ARGUMENT;
            break;
        }
        record_begin("report");
        record_text("guest", vm->options.name);
        record_flag("passed", registers->rdi);
        record_hex("value", registers->rsi);
        record_end();
        break;
    case HYPERCALL_PANIC:
        if (debug != DEBUG_PANIC) {
            result = HYPERCALL_NOT_PERMITTED;
            break;
        }
        panic("guest %s asked for it (debug=panic)", vm->options.name);
    default: result = HYPERCALL_UNKNOWN; break;
    }
    registers->rax = result;
    virt->skip_instruction(vcpu);
    return VM_RESUME;
}
