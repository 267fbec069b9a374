#include "selftest/machine.h"

#include "core/pages.h"
#include "core/panic.h"
#include "core/string.h"
#include "cpu/port.h"
#include "selftest/selftest.h"
#include "vm/loader.h"
#include "vmx/reasons.h"
#include "vmx/vmcs.h"

uint64_t enter_once(struct vmx_vcpu *vcpu);
uint64_t enter_once_after_mov_ss(struct vmx_vcpu *vcpu);

static struct entry_result result_of(struct vmx_vcpu *vcpu, uint64_t flags) {
    struct entry_result result = {.vm_fail = flags, .flags = flags};
    uint64_t error;
    if (result.vm_fail) {
        if (vmread(VM_INSTRUCTION_ERROR, &error) == VMX_SUCCEED) {
            result.error = (uint32_t)error;
        }
        return result;
    }
    result.reason = (uint32_t)vmcs_read(EXIT_REASON);
    result.entered = !(result.reason >> 31);
    vcpu->launched |= result.entered;
    vcpu->failed_entry = !result.entered;
    return result;
}

struct entry_result enter(struct vmx_vcpu *vcpu) {
    return result_of(vcpu, enter_once(vcpu));
}

struct entry_result enter_after_mov_ss(struct vmx_vcpu *vcpu) {
    return result_of(vcpu, enter_once_after_mov_ss(vcpu));
}

void machine_create(struct machine *machine, struct program program) {
    struct vm *vm = &machine->vm;
    struct vcpu_start start;
    *machine =
        (struct machine){.vm.options = {"selftest", MACHINE_MEMORY, VCPU_LONG, PAGE_SIZE_2M}};
    vm->memory = pages_allocate(MACHINE_MEMORY / PAGE_SIZE, PAGE_SIZE_2M / PAGE_SIZE);
    vm->map = virt->map_create(PAGE_SIZE_2M);
    static struct guest_boot boot;
    struct load_refusal refusal;
    boot.image = (struct guest_file){(const uint8_t *)program.start,
                                     (uint64_t)(program.end - program.start)};
    if (!vm->memory || !vm->map ||
        !virt->map_add(vm->map, 0, (uint64_t)vm->memory, MACHINE_MEMORY) ||
        !loader_load(vm, &boot, &start, &refusal)) {
        panic("there is no room for a self-test's guest");
    }
    vm->vcpu = virt->vcpu_create(vm, &start);
    if (!vm->vcpu) {
        panic("there is no room for a self-test's vCPU");
    }
    machine->vcpu = vmx_vcpu(vm->vcpu);
    machine->registers = &vm->vcpu->registers;
    vmcs_write(HOST_RIP, (uint64_t)entry_exit_point);
}

void machine_destroy(struct machine *machine) {
    struct vm *vm = &machine->vm;
    virt->vcpu_destroy(vm->vcpu);
    virt->map_destroy(vm->map);
    pages_free(vm->memory, MACHINE_MEMORY / PAGE_SIZE);
}

struct entry_result machine_enter(struct machine *machine) {
    machine->vm.vcpu->deadline = rdtsc() + MACHINE_PATIENCE;
    vmx_prepare_entry(machine->vcpu);
    struct entry_result result = enter(machine->vcpu);
    if (result.entered) {
        vmx_keep_interrupted_event(machine->vcpu);
    }
    return result;
}

bool machine_runs_until(struct machine *machine, const char *what, uint32_t reason) {
    struct entry_result result = machine_enter(machine);
    if (result.vm_fail) {
        return check(false, "%s: VM entry failed with error %u", what, result.error);
    }
    return check(result.reason == reason, "%s: exit reason 0x%x (%s), not %u (%s), at 0x%lx", what,
                 result.reason, exit_reason(result.reason & 0xffff)->name, reason,
                 exit_reason(reason)->name, vmcs_read(GUEST_RIP));
}

void machine_skip(struct machine *machine) {
    virt->skip_instruction(machine->vm.vcpu);
}
