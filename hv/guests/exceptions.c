/* Exceptions as a processor raises them: its own, and those that the hypervisor raises in its place. */
#include "cpu/control.h"
#include "cpu/msr.h"
#include "guests/checks.h"
#include "guests/interrupts.h"

enum { ABSENT = 1 << 30, DIRECTORIES = 0x3000, LARGE = 2 << 20 };
enum { PF_PRESENT = 1, PF_WRITE = 2, PF_USER = 4, PF_RESERVED = 8, PF_FETCH = 16 };

/* A function for an instruction: attempt() calls it, and its first byte is where a fault must be told. */
#define INSTRUCTION(name, text)   \
    void name(uint64_t argument); \
    asm(".pushsection .text\n" #name ": " text "\nret\n.popsection")

INSTRUCTION(ud2, "ud2");
INSTRUCTION(vmclear_it, "vmclear (%rsp)");
INSTRUCTION(vmlaunch_it, "vmlaunch");
INSTRUCTION(vmptrld_it, "vmptrld (%rsp)");
INSTRUCTION(vmptrst_it, "vmptrst -8(%rsp)");
INSTRUCTION(vmread_it, "vmread %rax, %rcx");
INSTRUCTION(vmresume_it, "vmresume");
INSTRUCTION(vmwrite_it, "vmwrite %rax, %rcx");
INSTRUCTION(vmxoff_it, "vmxoff");
INSTRUCTION(vmxon_it, "vmxon (%rsp)");
INSTRUCTION(invept_it, "invept (%rsp), %rax");
INSTRUCTION(invvpid_it, "invvpid (%rsp), %rax");
INSTRUCTION(vmfunc_it, "vmfunc");
INSTRUCTION(getsec_it, "getsec");
INSTRUCTION(rsm_it, "rsm");
INSTRUCTION(monitor_it, "monitor");
INSTRUCTION(mwait_it, "mwait");
INSTRUCTION(invpcid_it, "invpcid (%rsp), %rax");
INSTRUCTION(encls_it, ".byte 0x0f, 0x01, 0xcf");
INSTRUCTION(svm_vmrun, "vmrun");
INSTRUCTION(rdpmc_it, "rdpmc");
INSTRUCTION(divide, "div %rdi");
INSTRUCTION(enable_interrupts, "sti; nop; cli");
INSTRUCTION(rdmsr_it, "mov %edi, %ecx; rdmsr");
INSTRUCTION(wrmsr_it, "mov %edi, %ecx; xor %eax, %eax; mov $0x8000, %edx; wrmsr");
INSTRUCTION(read_it, "mov (%rdi), %al");
INSTRUCTION(write_it, "mov %al, (%rdi)");
INSTRUCTION(call_it, "jmp *%rdi");
INSTRUCTION(int_40, "int $0x40");
INSTRUCTION(int_n_beyond, "int $0xff");
INSTRUCTION(load_ss, "mov %edi, %ss");
INSTRUCTION(load_ds, "mov %edi, %ds");

static bool at(struct caught caught, void (*code)(uint64_t)) {
    return caught.rip == (uint64_t)code;
}

static bool undefined(void (*code)(uint64_t)) {
    struct caught caught = attempt(code, 0);
    return is(caught, VECTOR_INVALID_OPCODE, 0) && at(caught, code);
}

static void undefined_instructions(void) {
    struct caught caught = attempt(divide, 0);
    check("a division by zero is #DE", is(caught, VECTOR_DIVIDE_ERROR, 0) && at(caught, divide));
    check("UD2 is #UD", undefined(ud2));
    check("VMXON and VMXOFF are #UD", undefined(vmxon_it) && undefined(vmxoff_it));
    check("VMCLEAR, VMPTRLD and VMPTRST are #UD",
          undefined(vmclear_it) && undefined(vmptrld_it) && undefined(vmptrst_it));
    check("VMREAD and VMWRITE are #UD", undefined(vmread_it) && undefined(vmwrite_it));
    check("VMLAUNCH and VMRESUME are #UD", undefined(vmlaunch_it) && undefined(vmresume_it));
    check("INVEPT, INVVPID and VMFUNC are #UD",
          undefined(invept_it) && undefined(invvpid_it) && undefined(vmfunc_it));
    check("GETSEC, RSM, ENCLS and VMRUN are #UD",
          undefined(getsec_it) && undefined(rsm_it) && undefined(encls_it) && undefined(svm_vmrun));
    check("MONITOR and MWAIT are #UD", undefined(monitor_it) && undefined(mwait_it));
    check("INVPCID is #UD", undefined(invpcid_it));
}

static bool protected_from(void (*code)(uint64_t), uint64_t argument) {
    return is(attempt(code, argument), VECTOR_GENERAL_PROTECTION, 0);
}

static void protection(void) {
    check("RDPMC is #GP", protected_from(rdpmc_it, 0));
    check("MSRs that don't exist are #GP",
          protected_from(rdmsr_it, 0x12345678) && protected_from(wrmsr_it, 0x12345678) &&
              protected_from(rdmsr_it, 0xffffffff) && protected_from(wrmsr_it, 0x2000) &&
              protected_from(rdmsr_it, 0xc0002000) && protected_from(rdmsr_it, 0xbfffffff));
    check("VMX's own MSRs are #GP", protected_from(rdmsr_it, IA32_VMX_BASIC) &&
                                        protected_from(rdmsr_it, IA32_VMX_VMFUNC) &&
                                        protected_from(wrmsr_it, IA32_VMX_BASIC));
    check("addresses in MSRs must be canonical",
          protected_from(wrmsr_it, IA32_FS_BASE) && protected_from(wrmsr_it, IA32_GS_BASE) &&
              protected_from(wrmsr_it, IA32_KERNEL_GS_BASE) &&
              protected_from(wrmsr_it, IA32_LSTAR) && protected_from(wrmsr_it, IA32_CSTAR) &&
              protected_from(wrmsr_it, IA32_SYSENTER_EIP) &&
              protected_from(wrmsr_it, IA32_SYSENTER_ESP));
    check("an address that is not canonical is #GP", protected_from(read_it, 1ul << 47));
    check("a selector beyond the GDT is #GP with it as the error code",
          is(attempt(load_ds, 0x1238), VECTOR_GENERAL_PROTECTION, 0x1238) &&
              is(attempt(load_ss, 0x1238), VECTOR_GENERAL_PROTECTION, 0x1238));
    interrupts_idt[0xff].type &= 0x7f;
    check("a gate that is not present is #NP with its number",
          is(attempt(int_n_beyond, 0), VECTOR_SEGMENT_NOT_PRESENT, 0xff << 3 | 2));
    interrupts_idt[0xff].type |= 0x80;
}

static struct caught page_fault(void (*code)(uint64_t), uint64_t address, uint32_t error) {
    struct caught caught = attempt(code, address);
    caught.any = is(caught, VECTOR_PAGE_FAULT, error) && caught.cr2 == address;
    return caught;
}

static uint64_t *directory_entry(uint64_t address) {
    return (uint64_t *)DIRECTORIES + address / LARGE;
}

static void map(uint64_t address, uint64_t entry) {
    *directory_entry(address) = entry;
    asm volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static void page_faults(void) {
    uint64_t old = *directory_entry(ABSENT);
    map(ABSENT, 0);
    check("a page that is absent is #PF with its address and what was tried",
          page_fault(read_it, ABSENT + 5, 0).any && page_fault(write_it, ABSENT + 6, PF_WRITE).any);
    check("its instruction's address too", at(page_fault(write_it, ABSENT, PF_WRITE), write_it));
    check("as a target of a jump", page_fault(call_it, ABSENT + 7, 0).any);
    map(ABSENT, 0x85); /* itself at 0, read-only */
    check("without CR0.WP a supervisor writes to a read-only page", !attempt(write_it, ABSENT).any);
    write_cr0(read_cr0() | CR0_WP);
    check("with it that is #PF", page_fault(write_it, ABSENT, PF_PRESENT | PF_WRITE).any);
    write_cr0(read_cr0() & ~(uint64_t)CR0_WP);
    map(ABSENT, 0x87 | 1ul << 63);
    check("without EFER.NXE its bit is reserved",
          page_fault(read_it, ABSENT, PF_PRESENT | PF_RESERVED).any);
    wrmsr(IA32_EFER, rdmsr(IA32_EFER) | EFER_NXE);
    check("with it the page is data only",
          !attempt(read_it, ABSENT).any && page_fault(call_it, ABSENT, PF_PRESENT | PF_FETCH).any);
    wrmsr(IA32_EFER, rdmsr(IA32_EFER) & ~(uint64_t)EFER_NXE);
    map(ABSENT, old);
}

/* Copies the IDT to where its gates from `first_absent` on lie on a page that map() takes away. */
static void move_idt(unsigned first_absent) {
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) idtr = {sizeof interrupts_idt - 1,
                                      ABSENT - first_absent * sizeof interrupts_idt[0]};
    map(ABSENT - LARGE, 0 | 0x87); /* guest-physical 0 and 2 MiB: their ends and starts are free */
    map(ABSENT, LARGE | 0x87);
    struct interrupt_gate *gates = (struct interrupt_gate *)idtr.base;
    for (unsigned vector = 0; vector < VECTOR_COUNT; vector++) {
        gates[vector] = interrupts_idt[vector];
    }
    asm volatile("lidt %0" : : "m"(idtr) : "memory");
}

static void deliveries(void) {
    uint64_t old = *directory_entry(ABSENT), below = *directory_entry(ABSENT - LARGE);
    move_idt(VECTOR_DOUBLE_FAULT);
    check("an IDT across two pages works", undefined(ud2) && protected_from(rdpmc_it, 0));

    move_idt(32);
    map(ABSENT, 0);
    uint64_t gate = ABSENT + (0x40 - 32) * sizeof interrupts_idt[0];
    struct caught caught = attempt(int_40, 0);
    check("INT whose gate is on an absent page is #PF at the INT",
          is(caught, VECTOR_PAGE_FAULT, 0) && caught.cr2 == gate && at(caught, int_40));
    hypercall(HYPERCALL_INTERRUPT, 0x40, 0);
    caught = attempt(enable_interrupts, 0);
    check("an interrupt whose gate is on an absent page is #PF",
          is(caught, VECTOR_PAGE_FAULT, 0) && caught.cr2 == gate);
    caught = attempt(enable_interrupts, 0);
    check("which uses the interrupt up", !caught.any);

    move_idt(VECTOR_DOUBLE_FAULT + 1);
    map(ABSENT, 0);
    check("#PF while #PF is delivered is #DF",
          is(attempt(read_it, ABSENT), VECTOR_DOUBLE_FAULT, 0));
    check("#PF while the hypervisor's #GP is delivered is #PF, and that is #DF",
          is(attempt(rdpmc_it, 0), VECTOR_DOUBLE_FAULT, 0));

    move_idt(VECTOR_COUNT);
    interrupts_idt[VECTOR_GENERAL_PROTECTION].type &= 0x7f;
    move_idt(VECTOR_COUNT);
    check("#NP while the hypervisor's #GP is delivered is #DF",
          is(attempt(rdpmc_it, 0), VECTOR_DOUBLE_FAULT, 0));
    interrupts_idt[VECTOR_GENERAL_PROTECTION].type |= 0x80;
    interrupts_idt[VECTOR_INVALID_OPCODE].type &= 0x7f;
    move_idt(VECTOR_COUNT);
    check("#NP while the hypervisor's #UD is delivered is #NP",
          is(attempt(vmxoff_it, 0), VECTOR_SEGMENT_NOT_PRESENT, VECTOR_INVALID_OPCODE << 3 | 3));
    interrupts_idt[VECTOR_INVALID_OPCODE].type |= 0x80;
    interrupts_start();
    map(ABSENT, old);
    map(ABSENT - LARGE, below);
}

/* User mode: a GDT with its segments, and a TSS for the way back. SDM 3A 7.7. */
enum { USER_CODE = 0x20 | 3, USER_DATA = 0x28 | 3, TSS_SELECTOR = 0x30 };

static struct {
    uint32_t reserved;
    uint64_t rsp0;
    uint32_t rest[23];
} __attribute__((packed)) tss;
static uint64_t gdt[8] = {
    0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00affb000000ffff, 0x00cff3000000ffff};
static uint8_t kernel_stack[4096], user_stack[4096];

static void user_mode_ready(void) {
    uint64_t base = (uint64_t)&tss;
    tss.rsp0 = (uint64_t)(kernel_stack + sizeof kernel_stack);
    tss.rest[22] = sizeof tss << 16; /* the I/O map base: there is none, so no port is permitted */
    gdt[6] = (sizeof tss - 1) | (base & 0xffffff) << 16 | 0x89ul << 40 | (base >> 24 & 0xff) << 56;
    gdt[7] = base >> 32;
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) gdtr = {sizeof gdt - 1, (uint64_t)gdt};
    asm volatile("lgdt %0; ltr %w1" : : "m"(gdtr), "r"(TSS_SELECTOR) : "memory");
}

/* Goes on at `code` in user mode, with alignment checks armed. */
static void enter_user(uint64_t code) {
    asm volatile("push %0; push %1; push %2; push %3; push %4; iretq"
                 :
                 : "r"((uint64_t)USER_DATA), "r"((uint64_t)(user_stack + sizeof user_stack - 64)),
                   "r"((uint64_t)RFLAGS_AC | 2), "r"((uint64_t)USER_CODE), "r"(code)
                 : "memory");
}

static struct caught attempt_as_user(void (*code)(uint64_t)) {
    return attempt(enter_user, (uint64_t)code);
}

INSTRUCTION(user_hlt, "hlt");
INSTRUCTION(user_invd, "invd");
INSTRUCTION(user_wbinvd, "wbinvd");
INSTRUCTION(user_cr0, "mov %cr0, %rax");
INSTRUCTION(user_cr8, "mov %rax, %cr8");
INSTRUCTION(user_clts, "clts");
INSTRUCTION(user_lmsw, "lmsw %ax");
INSTRUCTION(user_dr7, "mov %dr7, %rax");
INSTRUCTION(user_invlpg, "invlpg (%rsp)");
INSTRUCTION(user_in, "in $0x80, %al");
INSTRUCTION(user_sti, "sti");
INSTRUCTION(user_misaligned, "mov 1(%rsp), %eax");
INSTRUCTION(user_hypercall,
            "mov $2, %eax\n" HYPERCALL_INSTRUCTION "cmp $-3, %rax; jne 1f; ud2; 1: hlt");
INSTRUCTION(user_cpuid, "xor %eax, %eax; cpuid; ud2");

static void user_mode(void) {
    user_mode_ready();
    void (*const privileged[])(uint64_t) = {user_hlt,    user_invd, user_wbinvd, user_cr0, user_cr8,
                                            user_clts,   user_lmsw, user_dr7,    rdmsr_it, rdpmc_it,
                                            user_invlpg, user_in,   user_sti};
    bool all = true;
    for (unsigned i = 0; i < sizeof privileged / sizeof privileged[0]; i++) {
        struct caught caught = attempt_as_user(privileged[i]);
        all &= is(caught, VECTOR_GENERAL_PROTECTION, 0);
    }
    check("what is privileged is #GP in user mode", all);
    check("VMX's instructions are #UD there too",
          is(attempt_as_user(vmxon_it), VECTOR_INVALID_OPCODE, 0) &&
              is(attempt_as_user(vmlaunch_it), VECTOR_INVALID_OPCODE, 0) &&
              is(attempt_as_user(monitor_it), VECTOR_INVALID_OPCODE, 0));
    check("a hypercall from there is not permitted",
          is(attempt_as_user(user_hypercall), VECTOR_INVALID_OPCODE, 0));
    check("CPUID works there", is(attempt_as_user(user_cpuid), VECTOR_INVALID_OPCODE, 0));
    write_cr0(read_cr0() | CR0_AM);
    struct caught caught = attempt_as_user(user_misaligned);
    check("a misaligned access is #AC with error code 0", is(caught, VECTOR_ALIGNMENT_CHECK, 0) &&
                                                              at(caught, user_misaligned) &&
                                                              caught.rflags & RFLAGS_RF);
    write_cr0(read_cr0() & ~(uint64_t)CR0_AM);
}

int guest_main(void) {
    interrupts_start();
    undefined_instructions();
    protection();
    page_faults();
    deliveries();
    user_mode();
    return checks_done();
}
