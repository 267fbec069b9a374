#include "core/console.h"
#include "vm/handlers.h"

static enum vm_action handle_hlt(struct vcpu *vcpu, const struct vm_exit *exit) {
    (void)exit;
    /* No device here raises an interrupt, so nothing could end this HLT. */
    vcpu->vm->end = VM_ENDED_HALT;
    return VM_LEAVE;
}

static enum vm_action handle_nmi(struct vcpu *vcpu, const struct vm_exit *exit) {
    (void)exit;
    print("nmi", "received while %s ran", vcpu->vm->options.name);
    return VM_RESUME;
}

static enum vm_action (*const handlers[VM_EXIT_KINDS])(struct vcpu *, const struct vm_exit *) = {
    [VM_EXIT_CPUID] = handle_cpuid,
    [VM_EXIT_HLT] = handle_hlt,
    [VM_EXIT_HYPERCALL] = handle_hypercall,
    [VM_EXIT_IO] = handle_io,
    [VM_EXIT_MSR_READ] = handle_msr,
    [VM_EXIT_MSR_WRITE] = handle_msr,
    [VM_EXIT_MEMORY] = handle_crash,
    [VM_EXIT_TRIPLE_FAULT] = handle_crash,
    [VM_EXIT_NMI] = handle_nmi,
    [VM_EXIT_ENTRY_FAILED] = handle_crash,
    [VM_EXIT_OTHER] = handle_crash,
};

enum vm_action vm_handle_exit(struct vcpu *vcpu, const struct vm_exit *exit) {
    vcpu->vm->exits[exit->kind]++;
    return handlers[exit->kind](vcpu, exit);
}
