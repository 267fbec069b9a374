/* VT-x's half of the table in vm/virt.h. */
#include "core/format.h"
#include "core/pages.h"
#include "core/panic.h"
#include "core/records.h"
#include "vm/vm.h"
#include "vmx/ept.h"
#include "vmx/operation.h"
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

static void make_current(const struct vmx_vcpu *vcpu) {
    if (vmptrst() != (uint64_t)vcpu->vmcs && vmptrld((uint64_t)vcpu->vmcs) != VMX_SUCCEED) {
        panic("VMPTRLD of the VMCS at 0x%lx failed", (uint64_t)vcpu->vmcs);
    }
}

static void clear(const struct vmx_vcpu *vcpu) {
    if (vmclear((uint64_t)vcpu->vmcs) != VMX_SUCCEED) {
        panic("VMCLEAR of the VMCS at 0x%lx failed", (uint64_t)vcpu->vmcs);
    }
}

static struct vcpu *vcpu_create(struct vm *vm, const struct vcpu_start *start) {
    struct vmx_vcpu *vcpu = page_allocate();
    vcpu->vcpu.vm = vm;
    vcpu->vmcs = vmx_region_create();
    clear(vcpu); /* 25.11.3: a region's launch state is undefined until VMCLEAR */
    make_current(vcpu);
    vmx_vmcs_set_up(vcpu, start, ept_pointer(vm->map));
    return &vcpu->vcpu;
}

static struct vmx_vcpu *of(struct vcpu *vcpu) {
    return (struct vmx_vcpu *)vcpu;
}

static void vcpu_destroy(struct vcpu *vcpu) {
    clear(of(vcpu)); /* writes back what the processor cached, so that the page can be used again */
    pages_free(of(vcpu)->vmcs, 1);
    pages_free(vcpu, 1);
}

static void vcpu_run(struct vcpu *vcpu) {
    make_current(of(vcpu));
    vmx_enter(of(vcpu));
}

static void skip_instruction(struct vcpu *vcpu) {
    (void)vcpu;
    vmcs_write(GUEST_RIP, vmcs_read(GUEST_RIP) + vmcs_read(VM_EXIT_INSTRUCTION_LENGTH));
}

static void inject_general_protection(struct vcpu *vcpu) {
    (void)vcpu;
    /* 25.8.3: vector 13, type 3 hardware exception, with an error code, valid */
    vmcs_write(VM_ENTRY_EXCEPTION_ERROR_CODE, 0);
    vmcs_write(VM_ENTRY_INTERRUPTION_INFORMATION, 13 | 3 << 8 | 1 << 11 | 1u << 31);
}

static void read_state(struct vcpu *vcpu, struct vcpu_state *state) {
    (void)vcpu;
    uint64_t efer = 0; /* absent where the processor does not switch it: then it reads as 0 */
    vmread(GUEST_IA32_EFER, &efer);
    *state = (struct vcpu_state){
        .rip = vmcs_read(GUEST_RIP),
        .rsp = vmcs_read(GUEST_RSP),
        .rflags = vmcs_read(GUEST_RFLAGS),
        .cr0 = vmcs_read(GUEST_CR0),
        .cr3 = vmcs_read(GUEST_CR3),
        .cr4 = vmcs_read(GUEST_CR4),
        .efer = efer,
    };
}

static void read_details(struct vcpu *vcpu, struct vm_exit_details *details) {
    if (of(vcpu)->failed_entry && of(vcpu)->entry_error) {
        static char reason[96];
        details->is_instruction_error = true;
        details->number = of(vcpu)->entry_error;
        format(reason, sizeof reason, "VM-entry failure: error %u, %s", details->number,
               vmx_instruction_error_name(details->number));
        details->reason = reason;
        details->qualification = 0;
        return;
    }
    details->is_instruction_error = false;
    details->number = (uint32_t)vmcs_read(EXIT_REASON); /* bit 31, failed entry, is kept */
    details->reason = vmx_exit_reason_name(details->number & 0xffff);
    details->qualification = vmcs_read(EXIT_QUALIFICATION);
}

const struct virt vmx = {
    .name = "vmx",
    .present = vmx_present,
    .record = record,
    .start = vmx_start,
    .stop = vmx_stop,
    .map_create = ept_create,
    .map_add = ept_add,
    .map_destroy = ept_destroy,
    .vcpu_create = vcpu_create,
    .vcpu_destroy = vcpu_destroy,
    .vcpu_run = vcpu_run,
    .skip_instruction = skip_instruction,
    .inject_general_protection = inject_general_protection,
    .read_state = read_state,
    .read_details = read_details,
};
