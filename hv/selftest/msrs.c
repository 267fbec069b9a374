/* MSRs: the bitmap by what really exits, and what the VMCS switches. SDM 3C 25.6.9, 27.3.2.1, 28.3.1. */
#include "core/pages.h"
#include "core/string.h"
#include "cpu/control.h"
#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "selftest/bits.h"
#include "selftest/machine.h"
#include "selftest/selftest.h"
#include "vm/msr.h"
#include "vmx/controls.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

static bool is_direct(uint32_t msr) {
    for (unsigned i = 0; i < msr_rule_count; i++) {
        if (msr >= msr_rules[i].first && msr <= msr_rules[i].last) {
            return msr_rules[i].kind == MSR_DIRECT;
        }
    }
    return false;
}

/* RDMSR, then WRMSR of what was read: each exits, or runs on to HLT, as the table says. */
static void check_msr(struct machine *machine, uint32_t msr) {
    bool direct = is_direct(msr);
    vmcs_write(GUEST_RIP, MACHINE_CODE);
    machine->registers->rcx = msr;
    struct entry_result result = machine_enter(machine);
    check(result.reason == (direct ? REASON_HLT : REASON_RDMSR),
          "RDMSR of 0x%x: exit reason %u, although it is %s", msr, result.reason,
          direct ? "direct" : "not direct");
    machine_skip(machine);
    if (!direct) {
        machine_runs_until(machine, "the HLT after it", REASON_HLT);
        machine_skip(machine);
    }
    result = machine_enter(machine);
    check(result.reason == (direct ? REASON_HLT : REASON_WRMSR),
          "WRMSR of 0x%x: exit reason %u, although it is %s", msr, result.reason,
          direct ? "direct" : "not direct");
}

SELFTEST(msrs_exit_by_the_table,
         "each MSR of the table, and its neighbours, exits or not as it says") {
    struct machine machine;
    machine_create(&machine, PROGRAM(msr));
    bool tsc_aux = cpuid(0x80000001, 0).edx & CPUID_80000001_EDX_RDTSCP;
    for (unsigned i = 0; i < msr_rule_count; i++) {
        const struct msr_rule *rule = &msr_rules[i];
        if (rule->first == (uint32_t)IA32_TSC_AUX && !tsc_aux) {
            continue; /* it does not exist: RDMSR would be #GP, and not exit */
        }
        check_msr(&machine, rule->first);
        if (rule->last != rule->first) {
            check_msr(&machine, rule->last);
        }
        if (!is_direct(rule->first - 1)) {
            check_msr(&machine, rule->first - 1);
        }
        if (!is_direct(rule->last + 1)) {
            check_msr(&machine, rule->last + 1);
        }
    }
    static const uint32_t outside[] = {0x2000, 0xbfffffff, 0xc0002000, 0xffffffff};
    for (unsigned i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        check_msr(&machine, outside[i]);
    }
    machine_destroy(&machine);
}

/* What the hypervisor has before and after a guest that has something else. */
struct host_state {
    uint64_t efer, pat, sysenter_cs, sysenter_esp, fs_base, gs_base, cr0, cr3, cr4, dr7;
};

static struct host_state host_state(void) {
    struct host_state state = {
        .efer = rdmsr(IA32_EFER),
        .pat = rdmsr(IA32_PAT),
        .sysenter_cs = rdmsr(IA32_SYSENTER_CS),
        .sysenter_esp = rdmsr(IA32_SYSENTER_ESP),
        .fs_base = rdmsr(IA32_FS_BASE),
        .gs_base = rdmsr(IA32_GS_BASE),
        .cr0 = read_cr0(),
        .cr3 = read_cr3(),
        .cr4 = read_cr4(),
    };
    asm volatile("mov %%dr7, %0" : "=r"(state.dr7));
    return state;
}

SELFTEST(msrs_are_switched,
         "a guest has EFER, PAT, SYSENTER and FS/GS bases of its own, and keeps them") {
    static const struct {
        const char *name;
        enum msr msr;
        enum vmcs_field field;
        uint64_t before, after;
    } rows[] = {
        {"PAT", IA32_PAT, GUEST_IA32_PAT, 0x0007040600070406, 0x0606060606060606},
        {"EFER", IA32_EFER, GUEST_IA32_EFER, EFER_LME | EFER_LMA | EFER_SCE,
         EFER_LME | EFER_LMA | EFER_NXE},
        {"SYSENTER_CS", IA32_SYSENTER_CS, GUEST_IA32_SYSENTER_CS, 0x10, 0x20},
        {"SYSENTER_ESP", IA32_SYSENTER_ESP, GUEST_IA32_SYSENTER_ESP, 0x1000, 0x2000},
        {"SYSENTER_EIP", IA32_SYSENTER_EIP, GUEST_IA32_SYSENTER_EIP, 0x3000, 0x4000},
        {"FS base", IA32_FS_BASE, GUEST_FS_BASE, 0x5000, 0x6000},
        {"GS base", IA32_GS_BASE, GUEST_GS_BASE, 0x7000, 0x8000},
    };
    struct machine machine;
    void *nothing_exits = page_allocate();
    struct host_state before = host_state();
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        machine_create(&machine, PROGRAM(msr));
        vmcs_write(MSR_BITMAPS, (uint64_t)nothing_exits);
        vmcs_write_named(rows[i].field, rows[i].before, rows[i].name, "the guest's value");
        machine.registers->rcx = (uint32_t)rows[i].msr;
        machine_runs_until(&machine, rows[i].name, REASON_HLT);
        uint64_t read = machine.registers->rdx << 32 | (uint32_t)machine.registers->rax;
        check(read == rows[i].before, "%s: the guest read 0x%lx", rows[i].name, read);
        machine.registers->rax = (uint32_t)rows[i].after;
        machine.registers->rdx = rows[i].after >> 32;
        machine_skip(&machine);
        machine_runs_until(&machine, rows[i].name, REASON_HLT);
        check(vmcs_read(rows[i].field) == rows[i].after, "%s: 0x%lx was kept, not 0x%lx",
              rows[i].name, vmcs_read(rows[i].field), rows[i].after);
        machine_destroy(&machine);
        struct host_state after = host_state();
        check(!memcmp(&before, &after, sizeof before), "%s of a guest changed the hypervisor's",
              rows[i].name);
    }
    pages_free(nothing_exits, 1);
}

SELFTEST(dr7_is_switched, "a guest keeps its DR7 over an exit, and the hypervisor runs with 400H") {
    struct machine machine;
    machine_create(&machine, PROGRAM(dr7));
    machine.registers->rbx = 0x401; /* a breakpoint at DR0, which is 0: never hit */
    machine_runs_until(&machine, "the write", REASON_HLT);
    check_equal("GUEST_DR7", vmcs_read(GUEST_DR7), 0x401);
    check_equal("the hypervisor's DR7", host_state().dr7, 0x400);
    machine_skip(&machine);
    machine_runs_until(&machine, "the read", REASON_HLT);
    check_equal("what the guest read", machine.registers->rax, 0x401);
    machine_destroy(&machine);
}
