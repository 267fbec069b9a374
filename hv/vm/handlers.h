/* What to do about each kind of exit. A new kind is a handler here and a row in exit.c. */
#pragma once

#include "cpu/cpuid.h"
#include "vm/vm.h"

enum vm_action {
    VM_RESUME, /* run on */
    VM_SKIP,   /* run on behind the instruction that exited: it has been carried out */
    VM_LEAVE,  /* back to whoever called vcpu_run: the guest has ended, halted, or had its slice */
};

typedef enum vm_action vm_exit_handler(struct vcpu *vcpu, const struct vm_exit *exit);

extern vm_exit_handler *const vm_exit_handlers[VM_EXIT_KINDS]; /* exit.c */

/* What the vendor's half does with every exit, between trace_begin and trace_end where trace_is_on. */
static inline enum vm_action vm_handle_exit(struct vcpu *vcpu, const struct vm_exit *exit) {
    enum vm_exit_kind kind = exit->kind;
    vcpu->vm->exits[kind]++;
    return vm_exit_handlers[kind](vcpu, exit);
}

/* And then, if anything is in vcpu->events: whether these let the guest go on. */
enum vm_action vm_look_at_events(struct vcpu *vcpu, const struct vm_exit *exit,
                                 enum vm_action action);

/* The name under which a kind is counted in the vm-stop record. */
const char *vm_exit_kind_name(enum vm_exit_kind kind);

enum vm_action handle_control_register(struct vcpu *vcpu, const struct vm_exit *exit);
enum vm_action handle_cpuid(struct vcpu *vcpu, const struct vm_exit *exit);
enum vm_action handle_hypercall(struct vcpu *vcpu, const struct vm_exit *exit);
enum vm_action handle_io(struct vcpu *vcpu, const struct vm_exit *exit);
enum vm_action handle_memory(struct vcpu *vcpu, const struct vm_exit *exit);
enum vm_action handle_msr(struct vcpu *vcpu, const struct vm_exit *exit);
enum vm_action handle_xsetbv(struct vcpu *vcpu, const struct vm_exit *exit);

/* Stops the guest, with a record of all that is known. Fits the table, for exits that mean just that. */
enum vm_action handle_crash(struct vcpu *vcpu, const struct vm_exit *exit);

/* Likewise, with a reason of our own instead of the hardware's. */
enum vm_action crash_because(struct vcpu *vcpu, const struct vm_exit *exit, const char *reason);

/* From now on that also freezes the machine, before anything of the guest is taken apart. */
void crash_freezes(void);

/* Once the processor is as it stays: works out most of the answers. */
void guest_cpuid_start(void);

/* CPUID as this guest's processor would answer it. */
struct cpuid guest_cpuid(uint32_t leaf, uint32_t subleaf);
