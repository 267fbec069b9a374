/* A small guest for one self-test: 1.2 MiB, long mode, one of the programs of guests.S at 1 MiB. */
#pragma once

#include "selftest/entry.h"
#include "vm/vm.h"

/* From guests.S; position-independent. Registers carry arguments and results. */
struct program {
    const uint8_t *start, *end;
};

enum {
    MACHINE_MEMORY = 0x130000,
    MACHINE_CODE = 1 << 20,  /* where the program is, guest-physical and linear */
    MACHINE_DATA = 0x110000, /* pages that self-tests use as they like; the stack is above */
    MACHINE_PATIENCE =
        400000, /* TSC ticks after which a guest that runs on comes back: reason 52 */
};

struct machine {
    struct vm vm;
    struct vmx_vcpu *vcpu;
    struct guest_registers *registers;
};

/* Its VMCS is current, and everything in it as the product sets it up, but HOST_RIP. */
void machine_create(struct machine *machine, struct program program);
void machine_destroy(struct machine *machine);

/* Enters as the product does: events and timer first, through vmx/inject.c. */
struct entry_result machine_enter(struct machine *machine);

/* Enters, and checks that the guest ran until an exit for this basic reason. */
bool machine_runs_until(struct machine *machine, const char *what, uint32_t reason);

/* Goes on after the instruction that exited. */
void machine_skip(struct machine *machine);

/* PROGRAM(spin) is what guests.S has between `guest spin` and `end_guest spin`. */
#define PROGRAM(name)                                              \
    ({                                                             \
        extern const uint8_t guest_##name[], guest_##name##_end[]; \
        (struct program){guest_##name, guest_##name##_end};        \
    })
