/* What to do about each kind of exit. A new kind is a handler here and a row in exit.c. */
#pragma once

#include "vm/vm.h"

enum vm_action {
    VM_RESUME, /* run on */
    VM_LEAVE,  /* the guest has ended: back to whoever called vcpu_run */
};

/* Called by the vendor's half for every exit. */
enum vm_action vm_handle_exit(struct vcpu *vcpu, const struct vm_exit *exit);

enum vm_action handle_cpuid(struct vcpu *vcpu, const struct vm_exit *exit);
enum vm_action handle_hypercall(struct vcpu *vcpu, const struct vm_exit *exit);
enum vm_action handle_io(struct vcpu *vcpu, const struct vm_exit *exit);
enum vm_action handle_msr(struct vcpu *vcpu, const struct vm_exit *exit);

/* Stops the guest, with a record of all that is known. Fits the table, for exits that mean just that. */
enum vm_action handle_crash(struct vcpu *vcpu, const struct vm_exit *exit);
