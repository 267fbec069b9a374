/* What to do about each kind of exit. A new kind is a handler here and a row in exit.c. */
#pragma once

#include "cpu/cpuid.h"
#include "vm/vm.h"

enum vm_action {
    VM_RESUME, /* run on */
    VM_LEAVE,  /* back to whoever called vcpu_run: the guest has ended, halted, or had its slice */
};

/* Called by the vendor's half for every exit. A pointer, so that an exit that is not traced does not
 * even pay for asking whether it is. */
extern enum vm_action (*vm_handle_exit)(struct vcpu *vcpu, const struct vm_exit *exit);

/* Have every exit written down from now on; see trace.h. */
void vm_trace_exits(void);

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

/* CPUID as this guest's processor would answer it. */
struct cpuid guest_cpuid(uint32_t leaf, uint32_t subleaf);
