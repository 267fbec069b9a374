/* A guest that can't go on: one line for people, one record with everything for the harness. */
#include "core/console.h"
#include "core/format.h"
#include "core/records.h"
#include "vm/handlers.h"

static const char *const access_names[] = {
    [MEMORY_READ] = "read", [MEMORY_WRITE] = "write", [MEMORY_EXECUTE] = "execute"};

static void record_registers(const struct vcpu *vcpu, const struct vcpu_state *state) {
    const struct guest_registers *r = &vcpu->registers;
    const struct {
        const char *name;
        uint64_t value;
    } registers[] = {
        {"rax", r->rax},       {"rbx", r->rbx},     {"rcx", r->rcx},
        {"rdx", r->rdx},       {"rsi", r->rsi},     {"rdi", r->rdi},
        {"rbp", r->rbp},       {"rsp", state->rsp}, {"r8", r->r8},
        {"r9", r->r9},         {"r10", r->r10},     {"r11", r->r11},
        {"r12", r->r12},       {"r13", r->r13},     {"r14", r->r14},
        {"r15", r->r15},       {"rip", state->rip}, {"rflags", state->rflags},
        {"cr0", state->cr0},   {"cr3", state->cr3}, {"cr4", state->cr4},
        {"efer", state->efer},
    };
    record_open("registers");
    for (unsigned i = 0; i < sizeof registers / sizeof registers[0]; i++) {
        record_hex(registers[i].name, registers[i].value);
    }
    record_close();
}

enum vm_action handle_crash(struct vcpu *vcpu, const struct vm_exit *exit) {
    struct vm *vm = vcpu->vm;
    struct vm_exit_details details;
    struct vcpu_state state;
    virt->read_details(vcpu, &details);
    virt->read_state(vcpu, &state);

    char what[96] = "";
    if (exit->kind == VM_EXIT_MEMORY) {
        format(what, sizeof what, ": %s of guest-physical 0x%lx", access_names[exit->memory.access],
               exit->memory.address);
    } else if (exit->kind == VM_EXIT_IO) {
        format(what, sizeof what, ": %s port 0x%x", exit->io.in ? "INS from" : "OUTS to",
               exit->io.port);
    }
    guest_console_flush(&vm->console, vm->options.name);
    print("vm", "%s stopped: %s%s, rip 0x%lx", vm->options.name, details.reason, what, state.rip);

    record_begin("crash");
    record_text("guest", vm->options.name);
    record_text("reason", details.reason);
    record_number(details.is_instruction_error ? "instruction_error" : "exit_reason",
                  details.number);
    record_hex("qualification", details.qualification);
    if (exit->kind == VM_EXIT_MEMORY) {
        record_hex("address", exit->memory.address);
        record_text("access", access_names[exit->memory.access]);
    }
    record_hex("rip", state.rip);
    record_registers(vcpu, &state);
    record_end();
    vm->end = VM_ENDED_CRASH;
    return VM_LEAVE;
}
