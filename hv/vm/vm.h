/* A virtual machine: memory, one vCPU, devices, and how it ended. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dev/guest_console.h"
#include "dev/platform.h"
#include "dev/scratch.h"
#include "vm/exit.h"
#include "vm/vcpu.h"
#include "vm/virt.h"

enum { VM_NAME_SIZE = 32, VM_DEVICES = 1 };

enum vm_end { VM_RUNNING, VM_ENDED_EXIT, VM_ENDED_HALT, VM_ENDED_RESET, VM_ENDED_CRASH };

struct vm_options {
    char name[VM_NAME_SIZE];
    uint64_t memory; /* bytes */
    enum vcpu_mode mode;
    uint64_t
        page_size; /* bytes: its memory begins at a multiple, and no page that maps it is larger */
};

struct vm {
    struct vm_options options;
    uint8_t *memory; /* guest-physical 0 */
    struct guest_map *map;
    struct vcpu *vcpu;
    struct guest_console console;
    struct platform platform;
    struct scratch scratch;
    struct mmio_device devices[VM_DEVICES]; /* by guest-physical address */
    enum vm_end end;
    uint64_t
        exit_code;    /* what the guest gave with HYPERCALL_EXIT, or wrote to a port that ends it */
    uint64_t started; /* TSC: when all could run for the first time */
    uint64_t exits[VM_EXIT_KINDS];
    uint64_t scrubbed; /* bytes of its memory zeroed again, once it has ended */
};

/* Builds the machine and loads into it what it boots (loader.h); false, and said why, where that
 * can't be. */
struct guest_boot;
bool vm_create(struct vm *vm, const struct vm_options *options, const struct guest_boot *boot);

/* Says how it ended and takes its processor apart. Its memory is still to be scrubbed. */
void vm_end(struct vm *vm);

/* Zeroes what is left of its memory and frees it; not longer than until that TSC time. */
void vm_scrub(struct vm *vm, uint64_t until);

static inline bool vm_needs_scrubbing(const struct vm *vm) {
    return vm->memory && !vm->vcpu;
}

/* Both at once: nothing of it is left in memory. */
void vm_destroy(struct vm *vm);
