/* The one table between vm/ and the vendor's half (vmx/, svm/). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vm/exit.h"
#include "vm/vcpu.h"

/* Guest-physical to host-physical: EPT or NPT. Opaque to vm/. */
struct guest_map;

/* The instruction that a hypercall is; guests are told by CPUID (guests/abi.h). */
enum virt_hypercall { VIRT_VMCALL, VIRT_VMMCALL };

struct virt {
    const char *name;
    enum virt_hypercall hypercall;
    bool (*present)(void);

    /* Adds the facts of this processor to the record being built. Safe before start. */
    void (*record)(void);

    /* Turns virtualization on; refuses the boot, with the reason, where that can't be. */
    void (*start)(void);
    void (*stop)(void);

    /* Can a guest run in this mode? Real mode and protected mode without paging need hardware help. */
    bool (*can_start_in)(enum vcpu_mode mode);

    /* NULL when memory is out. RAM is readable, writable and executable, with its own memory type, by
     * pages of at most so many bytes. */
    struct guest_map *(*map_create)(uint64_t page_size);
    bool (*map_add)(struct guest_map *map, uint64_t guest, uint64_t host, uint64_t bytes);
    void (*map_destroy)(struct guest_map *map);

    /* Adds to the record being built where the map's tables start, for those who read them. */
    void (*map_record_root)(const struct guest_map *map);

    /* Adds to the record being built how this guest-physical address is translated. */
    void (*map_record)(const struct guest_map *map, uint64_t guest);

    /* NULL when memory is out. */
    struct vcpu *(*vcpu_create)(struct vm *vm, const struct vcpu_start *start);
    void (*vcpu_destroy)(struct vcpu *vcpu);

    /* Moves what VM entries and exits do not switch, beside what vcpu_load and vcpu_save do, between the
     * processor and a vCPU whose turn begins or ends. NULL: nothing. */
    void (*load)(struct vcpu *vcpu);
    void (*save)(struct vcpu *vcpu);

    /* Runs the guest, exit after exit through vm_handle_exit, until that says VM_LEAVE. Before each
     * entry the next of vcpu->events is delivered and the timer is set to vcpu_deadline. */
    void (*vcpu_run)(struct vcpu *vcpu);

    /* Lets the processor wait in the guest's HLT until the deadline or an event. As vcpu_run. */
    void (*vcpu_wait)(struct vcpu *vcpu);

    /* Of the current vCPU: */
    uint64_t (*get)(struct vcpu *vcpu, enum vcpu_register which);
    void (*set)(struct vcpu *vcpu, enum vcpu_register which, uint64_t value);
    void (*skip_instruction)(struct vcpu *vcpu);
    void (*skip_bytes)(struct vcpu *vcpu, unsigned length);
    void (*read_details)(struct vcpu *vcpu, struct vm_exit_details *details);

    /* Adds to the record being built all that decides whether the processor enters this guest. */
    void (*record_entry)(struct vcpu *vcpu);
    /* Adds all fields of its control structure. NULL: whoever reads memory finds it there. */
    void (*record_fields)(struct vcpu *vcpu);
};

extern const struct virt vmx, svm;

/* The one that this processor has, once virt_choose has looked. NULL where it has none. */
extern const struct virt *virt;
void virt_choose(void);
