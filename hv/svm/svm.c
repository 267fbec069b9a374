/* AMD-V's half of the table in vm/virt.h. */
#include "core/format.h"
#include "core/pages.h"
#include "core/records.h"
#include "cpu/control.h"
#include "cpu/port.h"
#include "svm/asid.h"
#include "svm/checks.h"
#include "svm/length.h"
#include "svm/npt.h"
#include "svm/operation.h"
#include "svm/reasons.h"
#include "svm/timer.h"
#include "svm/vcpu.h"
#include "vm/guest_memory.h"
#include "vm/scheduler.h"
#include "vm/vm.h"

static_assert(sizeof(struct svm_vcpu) <= PAGE_SIZE, "a vCPU is allocated as one page");

static void record(void) {
    struct svm_capabilities capabilities;
    svm_capabilities_read(&capabilities);
    record_text("kind", "svm");
    record_number("revision", capabilities.revision);
    record_number("asids", capabilities.asids);
    svm_capabilities_record(&capabilities);
}

static bool can_start_in(enum vcpu_mode mode) {
    (void)mode;
    return true; /* 15.25: with nested paging, real mode and protected mode without paging too */
}

static struct vcpu *vcpu_create(struct vm *vm, const struct vcpu_start *start) {
    struct svm_vcpu *vcpu = pages_allocate(1, 1);
    if (!vcpu) {
        return 0;
    }
    vcpu->vmcb = vcpu_start_state(&vcpu->vcpu, vm) ? pages_allocate(1, 1) : 0;
    if (!vcpu->vmcb) {
        vcpu_free_state(&vcpu->vcpu);
        pages_free(vcpu, 1);
        return 0;
    }
    svm_vmcb_set_up(vcpu, start, (uint64_t)vm->map->nested.root);
    return &vcpu->vcpu;
}

static void vcpu_destroy(struct vcpu *vcpu) {
    pages_free(svm_vcpu(vcpu)->vmcb, 1);
    vcpu_free_state(vcpu);
    pages_free(vcpu, 1);
}

/* VMRUN does this (15.5.1), but not in Bochs 2.7. All else that guests use is switched. */
static void load(struct vcpu *vcpu) {
    write_cr2(svm_vcpu(vcpu)->vmcb->state.cr2);
}

static void vcpu_run(struct vcpu *vcpu) {
    struct svm_vcpu *self = svm_vcpu(vcpu);
    asid_take(self);
    self->violation = svm_violation(self->vmcb); /* afterwards it can't be told any more */
    svm_run(self);
}

static void vcpu_wait(struct vcpu *vcpu) {
    svm_timer_wait(scheduler_deadline(vcpu));
}

static void skip_bytes(struct vcpu *vcpu, unsigned length) {
    enum { RFLAGS_TF = 1 << 8, RFLAGS_RF = 1 << 16, DR6_BS = 1 << 14 };
    struct vmcb *vmcb = svm_vcpu(vcpu)->vmcb;
    uint64_t rip = vmcb->state.rip + length;
    if (rip >> 32 && !vcpu_in_64_bit_mode(vcpu)) {
        rip = (uint32_t)rip; /* EIP wraps around */
    }
    vmcb->state.rip = rip;
    /* The instruction is over, and with it the shadow of an STI or MOV SS before it, and RF ... */
    vmcb->control.interrupt_shadow &= ~1ull;
    vmcb->state.rflags &= ~(uint64_t)RFLAGS_RF;
    /* ... and a guest that single-steps gets its trap. */
    if (vmcb->state.rflags & RFLAGS_TF) {
        vmcb->state.dr6 |= DR6_BS;
        events_raise_exception(&vcpu->events, VECTOR_DB, false, 0);
    }
}

unsigned svm_instruction_length(struct svm_vcpu *vcpu) {
    const struct vmcb_control *control = &vcpu->vmcb->control;
    const struct exit_code *row = exit_code(control->exitcode);
    if (row->kind == VM_EXIT_IO) {
        return (unsigned)(control->exitinfo2 - vcpu->vmcb->state.rip); /* 15.10.2 */
    }
    if (row->kind == VM_EXIT_CONTROL_REGISTER) {
        return vcpu->length;
    }
    if (svm_capabilities.features & SVM_FEATURE_NRIPS && control->nrip) {
        return (unsigned)(control->nrip - vcpu->vmcb->state.rip);
    }
    uint8_t bytes[15];
    enum decode_mode mode = guest_decode_mode(&vcpu->vcpu);
    unsigned count = guest_fetch(&vcpu->vcpu, mode, bytes, sizeof bytes);
    return instruction_length(bytes, count, mode == DECODE_64, row->length);
}

static void skip_instruction(struct vcpu *vcpu) {
    skip_bytes(vcpu, svm_instruction_length(svm_vcpu(vcpu)));
}

static void read_details(struct vcpu *vcpu, struct vm_exit_details *details) {
    const struct svm_vcpu *self = svm_vcpu(vcpu);
    const struct vmcb_control *control = &self->vmcb->control;
    const struct exit_code *row = exit_code(control->exitcode);
    details->is_instruction_error = false;
    details->number = (uint32_t)control->exitcode;
    details->qualification = control->exitinfo1;
    details->reason = row->name;
    if (row->kind == VM_EXIT_ENTRY_FAILED) {
        static char reason[128];
        format(reason, sizeof reason, "VM-entry failure: %s, %s", row->name,
               self->violation ? self->violation : "no check of 15.5.1 that can be told");
        details->reason = reason;
    }
}

static void map_record_root(const struct guest_map *map) {
    nested_record_root("npt", &map->nested);
}

static void map_record(const struct guest_map *map, uint64_t guest) {
    nested_record("npt", &map->nested, guest);
}

const struct virt svm = {
    .name = "svm",
    .hypercall = VIRT_VMMCALL,
    .present = svm_present,
    .record = record,
    .start = svm_start,
    .stop = svm_stop,
    .can_start_in = can_start_in,
    .map_create = npt_create,
    .map_add = npt_add,
    .map_destroy = npt_destroy,
    .map_record_root = map_record_root,
    .map_record = map_record,
    .vcpu_create = vcpu_create,
    .vcpu_destroy = vcpu_destroy,
    .load = load,
    .vcpu_run = vcpu_run,
    .vcpu_wait = vcpu_wait,
    .get = svm_get,
    .set = svm_set,
    .skip_instruction = skip_instruction,
    .skip_bytes = skip_bytes,
    .read_details = read_details,
};
