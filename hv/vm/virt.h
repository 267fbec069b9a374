/* The one table between vm/ and the vendor's half (vmx/, svm/). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vm/exit.h"
#include "vm/vcpu.h"

/* Guest-physical to host-physical: EPT or NPT. Opaque to vm/. */
struct guest_map;

struct virt {
    const char *name;
    bool (*present)(void);

    /* Adds the facts of this processor to the record being built. Safe before start. */
    void (*record)(void);

    /* Turns virtualization on; refuses the boot, with the reason, where that can't be. */
    void (*start)(void);
    void (*stop)(void);

    /* NULL when memory is out. Pages are mapped readable, writable and executable, write-back. */
    struct guest_map *(*map_create)(void);
    bool (*map_add)(struct guest_map *map, uint64_t guest, uint64_t host, uint64_t bytes);
    void (*map_destroy)(struct guest_map *map);

    struct vcpu *(*vcpu_create)(struct vm *vm, const struct vcpu_start *start);
    void (*vcpu_destroy)(struct vcpu *vcpu);

    /* Runs the guest, exit after exit through vm_handle_exit, until that says VM_LEAVE. */
    void (*vcpu_run)(struct vcpu *vcpu);

    /* Of the vCPU that exited last: */
    void (*skip_instruction)(struct vcpu *vcpu);
    void (*inject_general_protection)(struct vcpu *vcpu); /* #GP(0), instead of the instruction */
    void (*read_state)(struct vcpu *vcpu, struct vcpu_state *state);
    void (*read_details)(struct vcpu *vcpu, struct vm_exit_details *details);
};

/* The one that this processor has; set by main before any VM exists. */
extern const struct virt *virt;
extern const struct virt vmx;
