/* VT-x's half of the table in vm/virt.h. */
#include "core/format.h"
#include "core/pages.h"
#include "core/panic.h"
#include "core/records.h"
#include "cpu/port.h"
#include "vm/scheduler.h"
#include "vm/vm.h"
#include "vmx/controls.h"
#include "vmx/dump.h"
#include "vmx/ept.h"
#include "vmx/operation.h"
#include "vmx/reasons.h"
#include "vmx/skip.h"
#include "vmx/vcpu.h"
#include "vmx/vmcs.h"

static_assert(sizeof(struct vmx_vcpu) <= PAGE_SIZE, "a vCPU is allocated as one page");

static void record(void) {
    struct vmx_capabilities capabilities;
    vmx_capabilities_read(&capabilities);
    record_text("kind", "vmx");
    record_hex("basic", capabilities.basic);
    record_hex("ept_vpid_cap", capabilities.ept_vpid);
    vmx_capabilities_record(&capabilities);
}

static const struct vmx_vcpu *current;

/* VMPTRLD is slow, and most of the time the right VMCS is current already. */
static void make_current(const struct vmx_vcpu *vcpu) {
    if (current != vcpu && vmptrld((uint64_t)vcpu->vmcs) != VMX_SUCCEED) {
        panic("VMPTRLD of the VMCS at 0x%lx failed", (uint64_t)vcpu->vmcs);
    }
    current = vcpu;
}

static void clear(const struct vmx_vcpu *vcpu) {
    if (vmclear((uint64_t)vcpu->vmcs) != VMX_SUCCEED) {
        panic("VMCLEAR of the VMCS at 0x%lx failed", (uint64_t)vcpu->vmcs);
    }
    if (current == vcpu) {
        current = 0; /* 31.3, VMCLEAR: there is no current VMCS then */
    }
}

void vmx_forget_translations(const struct vmx_vcpu *vcpu) {
    if (!vcpu->vpid) {
        return; /* then each entry and exit does so (29.4.3.1) */
    }
    bool single = vmx_capabilities.ept_vpid & VPID_CAP_INVVPID_SINGLE;
    if (invvpid(single ? INVVPID_SINGLE_CONTEXT : INVVPID_ALL_CONTEXTS, vcpu->vpid, 0) !=
        VMX_SUCCEED) {
        panic("INVVPID failed");
    }
}

/* A new vCPU may get an identifier that another had: nothing cached for that may be left (29.4.3.3). */
static void take_vpid(struct vmx_vcpu *vcpu) {
    static uint16_t last;
    if (!(vmx_capabilities.secondary.allowed & SECONDARY_ENABLE_VPID) ||
        !(vmx_capabilities.ept_vpid & VPID_CAP_INVVPID)) {
        return;
    }
    vcpu->vpid = ++last ? last : ++last; /* 0 is the hypervisor's */
    vmx_forget_translations(vcpu);
}

static struct vcpu *vcpu_create(struct vm *vm, const struct vcpu_start *start) {
    struct vmx_vcpu *vcpu = pages_allocate(1, 1);
    if (!vcpu) {
        return 0;
    }
    vcpu->vmcs = vcpu_start_state(&vcpu->vcpu, vm) ? vmx_region_create() : 0;
    if (!vcpu->vmcs) {
        vcpu_free_state(&vcpu->vcpu);
        pages_free(vcpu, 1);
        return 0;
    }
    vmx_unswitched_set_up(vcpu);
    take_vpid(vcpu);
    clear(vcpu); /* 25.11.3: a region's launch state is undefined until VMCLEAR */
    make_current(vcpu);
    vmx_vmcs_set_up(vcpu, start, ept_pointer(&vm->map->nested));
    return &vcpu->vcpu;
}

static void vcpu_destroy(struct vcpu *vcpu) {
    clear(vmx_vcpu(vcpu)); /* writes back what the processor cached: the page is free after that */
    pages_free(vmx_vcpu(vcpu)->vmcs, 1);
    vcpu_free_state(vcpu);
    pages_free(vcpu, 1);
}

static void vcpu_run(struct vcpu *vcpu) {
    make_current(vmx_vcpu(vcpu));
    vmx_prepare_entry(vmx_vcpu(vcpu));
    vmx_enter(vmx_vcpu(vcpu));
}

/* The timer counts down in the HLT activity state too (28.1), so the processor itself can wait. */
static void vcpu_wait(struct vcpu *vcpu) {
    make_current(vmx_vcpu(vcpu));
    if (vmx_capabilities.misc & MISC_ACTIVITY_HLT) {
        vmcs_write(GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
        vmx_prepare_entry(vmx_vcpu(vcpu));
        vmx_enter(vmx_vcpu(vcpu));
        vmcs_write(GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
    } else {
        while (rdtsc() < scheduler_deadline(vcpu)) {
            asm volatile("pause");
        }
    }
}

static void skip_bytes(struct vcpu *vcpu, unsigned length) {
    vmx_skip_to(vmx_vcpu(vcpu), vmcs_read(GUEST_RIP) + length);
}

static void skip_instruction(struct vcpu *vcpu) {
    skip_bytes(vcpu, (unsigned)vmcs_read(VM_EXIT_INSTRUCTION_LENGTH));
}

static bool can_start_in(enum vcpu_mode mode) {
    return mode == VCPU_LONG || vmx_unrestricted_guest();
}

static void read_details(struct vcpu *vcpu, struct vm_exit_details *details) {
    if (vmx_vcpu(vcpu)->failed_entry && vmx_vcpu(vcpu)->entry_error) {
        static char reason[96];
        details->is_instruction_error = true;
        details->number = vmx_vcpu(vcpu)->entry_error;
        format(reason, sizeof reason, "VM-entry failure: error %u, %s", details->number,
               vmx_instruction_error_name(details->number));
        details->reason = reason;
        details->qualification = 0;
        return;
    }
    details->is_instruction_error = false;
    details->number = (uint32_t)vmcs_read(EXIT_REASON); /* bit 31, failed entry, is kept */
    details->reason = exit_reason(details->number & 0xffff)->name;
    details->qualification = vmcs_read(EXIT_QUALIFICATION);
}

static void record_entry(struct vcpu *vcpu) {
    record_hex("region", (uint64_t)vmx_vcpu(vcpu)->vmcs);
    vmx_processor_record();
    vmx_fields_record();
}

static void record_fields(struct vcpu *vcpu) {
    (void)vcpu;
    vmx_fields_record();
}

static void map_record_root(const struct guest_map *map) {
    nested_record_root("ept", &map->nested);
}

static void map_record(const struct guest_map *map, uint64_t guest) {
    nested_record("ept", &map->nested, guest);
}

const struct virt vmx = {
    .name = "vmx",
    .hypercall = VIRT_VMCALL,
    .present = vmx_present,
    .record = record,
    .start = vmx_start,
    .stop = vmx_stop,
    .can_start_in = can_start_in,
    .map_create = ept_create,
    .map_add = ept_add,
    .map_destroy = ept_destroy,
    .map_record_root = map_record_root,
    .map_record = map_record,
    .vcpu_create = vcpu_create,
    .vcpu_destroy = vcpu_destroy,
    .load = vmx_load,
    .save = vmx_save,
    .vcpu_run = vcpu_run,
    .vcpu_wait = vcpu_wait,
    .get = vmx_get,
    .set = vmx_set,
    .skip_instruction = skip_instruction,
    .skip_bytes = skip_bytes,
    .read_details = read_details,
    .record_entry = record_entry,
    .record_fields = record_fields,
};
