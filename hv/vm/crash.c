/* A guest that can't go on: one line for people, one record with everything for the harness. */
#include "core/console.h"
#include "core/format.h"
#include "core/power.h"
#include "core/records.h"
#include "cpu/identify.h"
#include "vm/crash_memory.h"
#include "vm/handlers.h"

static bool freezes;

void crash_freezes(void) {
    freezes = true;
}

static const char *const access_names[] = {
    [MEMORY_READ] = "read", [MEMORY_WRITE] = "write", [MEMORY_EXECUTE] = "execute"};

static void record_registers(struct vcpu *vcpu) {
    static const char *const gprs[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                         "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    static const struct {
        const char *name;
        enum vcpu_register which;
    } others[] = {
        {"rip", VCPU_RIP}, {"rflags", VCPU_RFLAGS}, {"cr0", VCPU_CR0},
        {"cr3", VCPU_CR3}, {"cr4", VCPU_CR4},       {"efer", VCPU_EFER},
    };
    record_open("registers");
    for (unsigned i = 0; i < 16; i++) {
        record_hex(gprs[i], vcpu_gpr(vcpu, i));
    }
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++) {
        record_hex(others[i].name, virt->get(vcpu, others[i].which));
    }
    record_close();
}

/* The same words whatever the processor calls its exit: that name is another member of the record. */
static const char *const reasons[VM_EXIT_KINDS] = {
    [VM_EXIT_IO] = "String I/O",
    [VM_EXIT_MEMORY] = "Memory violation",
    [VM_EXIT_MISCONFIGURED] = "Nested paging misconfiguration",
    [VM_EXIT_TRIPLE_FAULT] = "Triple fault",
    [VM_EXIT_TASK_SWITCH] = "Task switch",
};

enum vm_action handle_crash(struct vcpu *vcpu, const struct vm_exit *exit) {
    struct vm_exit_details details;
    virt->read_details(vcpu, &details);
    return crash_because(vcpu, exit, reasons[exit->kind] ? reasons[exit->kind] : details.reason);
}

enum vm_action crash_because(struct vcpu *vcpu, const struct vm_exit *exit, const char *reason) {
    struct vm *vm = vcpu->vm;
    struct vm_exit_details details;
    virt->read_details(vcpu, &details);
    uint64_t rip = virt->get(vcpu, VCPU_RIP);

    char what[96] = "";
    if (exit->kind == VM_EXIT_MEMORY) {
        format(what, sizeof what, ": %s of guest-physical 0x%lx", access_names[exit->memory.access],
               exit->memory.address);
    } else if (exit->kind == VM_EXIT_MISCONFIGURED) {
        format(what, sizeof what, " for guest-physical 0x%lx", exit->memory.address);
    } else if (exit->kind == VM_EXIT_IO) {
        format(what, sizeof what, ": %s port 0x%x", exit->io.in ? "INS from" : "OUTS to",
               exit->io.port);
    }
    guest_console_flush(&vm->console);
    print("vm", "%s stopped: %s%s, rip 0x%lx", vm->options.name, reason, what, rip);

    record_begin("crash");
    record_text("guest", vm->options.name);
    record_text("reason", reason);
    record_text("exit", details.reason);
    record_number(details.is_instruction_error ? "instruction_error" : "exit_reason",
                  details.number);
    record_hex("qualification", details.qualification);
    if (exit->kind == VM_EXIT_MEMORY) {
        record_hex("address", exit->memory.address);
        record_text("access", access_names[exit->memory.access]);
        virt->map_record(vm->map, exit->memory.address);
    } else if (exit->kind == VM_EXIT_MISCONFIGURED) {
        record_hex("address", exit->memory.address);
        virt->map_record(vm->map, exit->memory.address);
    }
    record_hex("rip", rip);
    record_registers(vcpu);
    crash_record_memory(vcpu);
    if (exit->kind == VM_EXIT_ENTRY_FAILED && virt->record_entry) {
        virt->record_entry(vcpu);
    } else if (freezes && virt->record_fields && identify_hypervisor_below()) {
        virt->record_fields(vcpu); /* which a hypervisor keeps where nobody can look */
    }
    if (freezes) {
        record_flag("freezes", true);
    }
    record_end();
    if (freezes) {
        power_freeze(); /* its VMCS or VMCB is still current, its memory as it left it */
    }
    vm->end = VM_ENDED_CRASH;
    return VM_LEAVE;
}
