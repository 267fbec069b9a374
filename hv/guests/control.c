/* Control registers, XCR0 and the instructions around them behave as on a processor, bad values too. */
#include "cpu/control.h"

#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "cpu/port.h"
#include "guests/checks.h"
#include "guests/interrupts.h"

/* With SDM 3A 2.5's names, where cpu/control.h has no use for them. */
#define CR4_VME      (1ul << 0)
#define CR4_UMIP     (1ul << 11)
#define CR4_LA57     (1ul << 12)
#define CR4_SMXE     (1ul << 14)
#define CR4_PCIDE    (1ul << 17)
#define CR4_CET      (1ul << 23)
#define DR6_AT_RESET 0xffff0ff0

static void set_cr0(uint64_t value) {
    write_cr0(value);
}

static void set_cr3(uint64_t value) {
    write_cr3(value);
}

static void set_cr4(uint64_t value) {
    write_cr4(value);
}

static void set_cr8(uint64_t value) {
    asm volatile("mov %0, %%cr8" : : "r"(value) : "memory");
}

enum { WAITING = 0x60 };
static bool interrupted;

static void note_interrupt(struct interrupt_frame *frame) {
    (void)frame;
    interrupted = true;
}

static uint64_t get_cr8(void) {
    uint64_t value;
    asm volatile("mov %%cr8, %0" : "=r"(value));
    return value;
}

static void set_dr6(uint64_t value) {
    asm volatile("mov %0, %%dr6" : : "r"(value));
}

static void set_dr7(uint64_t value) {
    asm volatile("mov %0, %%dr7" : : "r"(value));
}

static void touch_dr4(uint64_t value) {
    asm volatile("mov %0, %%dr4" : : "r"(value));
}

static void set_efer(uint64_t value) {
    wrmsr(IA32_EFER, value);
}

static void set_pat(uint64_t value) {
    wrmsr(IA32_PAT, value);
}

static void set_xcr0(uint64_t value) {
    asm volatile("xsetbv" : : "c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static void set_xcr(uint64_t number) {
    asm volatile("xsetbv" : : "c"((uint32_t)number), "a"(1), "d"(0));
}

static uint64_t get_xcr0(void) {
    uint32_t low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static void load_machine_status(uint64_t value) {
    asm volatile("lmsw %w0" : : "r"(value));
}

static uint64_t machine_status(void) {
    uint64_t value;
    asm volatile("smsw %0" : "=r"(value));
    return value;
}

static void use_x87(uint64_t unused) {
    (void)unused;
    asm volatile("fnop");
}

static bool refused(void (*code)(uint64_t), uint64_t value) {
    return is(attempt(code, value), VECTOR_GENERAL_PROTECTION, 0);
}

static bool accepted(void (*code)(uint64_t), uint64_t value) {
    return !attempt(code, value).any;
}

static void cr0(void) {
    uint64_t old = read_cr0();
    check("CR0 starts with PE, PG and ET alone", old == (CR0_PG_64 | CR0_ET | CR0_PE));
    check("CR0.NW without CD is #GP", refused(set_cr0, old | CR0_NW));
    check("CR0.PG without PE is #GP", refused(set_cr0, old & ~1ul));
    check("CR0.PG can't be cleared in 64-bit mode", refused(set_cr0, old & ~CR0_PG_64));
    check("CR0's upper half is #GP", refused(set_cr0, old | 1ul << 32));
    check("nothing of that changed CR0", read_cr0() == old);
    const uint64_t all = CR0_MP | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_CD | CR0_NW;
    set_cr0(old | all);
    check("CR0's other bits read as written", read_cr0() == (old | all));
    check("SMSW tells the same", machine_status() == (old | all));
    check("CR0.TS makes x87 #NM", is(attempt(use_x87, 0), VECTOR_DEVICE_NOT_AVAILABLE, 0));
    asm volatile("clts");
    check("CLTS clears TS alone", read_cr0() == ((old | all) & ~(uint64_t)CR0_TS));
    check("and x87 works", accepted(use_x87, 0));
    load_machine_status(CR0_TS | CR0_EM);
    check("LMSW sets TS and EM, clears MP, and can't clear PE",
          (read_cr0() & 0xf) == (CR0_PE | CR0_EM | CR0_TS));
    check("CR0.ET stays and reserved bits are ignored",
          accepted(set_cr0, (old & ~(uint64_t)CR0_ET) | 1 << 6 | 1 << 28) && read_cr0() == old);
}

static void cr3(void) {
    uint64_t old = read_cr3();
    check("CR3 keeps PWT and PCD", accepted(set_cr3, old | 0x18) && read_cr3() == (old | 0x18));
    const unsigned address_bits = cpuid(0x80000008, 0).eax & 0xff;
    check("CR3's bits above the physical address are #GP",
          refused(set_cr3, old | 1ul << 62) && refused(set_cr3, old | 1ul << address_bits));
    set_cr3(old);
}

static void cr4(void) {
    const uint64_t bad[] = {CR4_VME,   CR4_UMIP,  CR4_LA57,  CR4_VMXE,  CR4_SMXE,
                            CR4_PCIDE, CR4_CET,   1ul << 15, 1ul << 19, 1ul << 22,
                            1ul << 24, 1ul << 31, 1ul << 32, 1ul << 63};
    uint64_t old = read_cr4();
    check("CR4 starts with PAE alone", old == CR4_PAE);
    bool all_refused = true;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        all_refused &= refused(set_cr4, old | bad[i]);
    }
    check("CR4's bits that CPUID does not offer are #GP", all_refused && read_cr4() == old);
    check("CR4.PAE can't be cleared in long mode", refused(set_cr4, old & ~(uint64_t)CR4_PAE));
    const uint64_t good =
        CR4_TSD | CR4_DE | CR4_PSE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    check("CR4's others read as written",
          accepted(set_cr4, old | good) && read_cr4() == (old | good));
    check("CR4.DE makes DR4 #UD", is(attempt(touch_dr4, 0), VECTOR_INVALID_OPCODE, 0));
    set_cr4(old);
    check("without it DR4 is DR6", accepted(touch_dr4, 0));
}

static void cr8(void) {
    check("CR8 starts as 0", get_cr8() == 0);
    check("CR8 reads as written", accepted(set_cr8, 9) && get_cr8() == 9);
    check("CR8's reserved bits are #GP",
          refused(set_cr8, 16) && refused(set_cr8, 1ul << 32) && get_cr8() == 9);
    set_cr8(0);
    hypercall(HYPERCALL_INTERRUPT, WAITING, 0); /* held back: RFLAGS.IF is 0 */
    check("CR8 is written while an interrupt waits", accepted(set_cr8, 15) && get_cr8() == 15);
    set_cr8(0);
    asm volatile("sti; nop; cli" : : : "memory");
    check("an interrupt that waited while CR8 was written comes", interrupted);
}

static void debug_registers(void) {
    check("DR6 and DR7's upper halves are #GP",
          refused(set_dr6, 1ul << 32) && refused(set_dr7, 1ul << 32));
    set_dr7(1 << 13); /* GD: general detect */
    struct caught caught = attempt(set_dr6, DR6_AT_RESET);
    check("DR7.GD makes MOV DR a #DB, and is cleared by it",
          caught.any && caught.vector == VECTOR_DEBUG && accepted(set_dr6, DR6_AT_RESET));
    set_dr7(1 << 10);
}

static void efer(void) {
    uint64_t old = rdmsr(IA32_EFER);
    check("EFER starts with LME and LMA", old == (EFER_LME | EFER_LMA));
    check("EFER.LME can't change while paging is on", refused(set_efer, old & ~(uint64_t)EFER_LME));
    check("EFER's reserved bits are #GP",
          refused(set_efer, old | 1 << 1) && refused(set_efer, old | 1 << 9) &&
              refused(set_efer, old | 1 << 12) && refused(set_efer, old | 1ul << 32));
    check("EFER.LMA is not software's",
          accepted(set_efer, old & ~(uint64_t)EFER_LMA) && rdmsr(IA32_EFER) == old);
    check("EFER.SCE and NXE read as written", accepted(set_efer, old | EFER_SCE | EFER_NXE) &&
                                                  rdmsr(IA32_EFER) == (old | EFER_SCE | EFER_NXE));
    set_efer(old);
}

static void pat(void) {
    uint64_t old = rdmsr(IA32_PAT);
    check("PAT starts as after reset", old == PAT_AT_RESET);
    check("PAT's bad types are #GP", refused(set_pat, 2) && refused(set_pat, 0x0300000000000000) &&
                                         refused(set_pat, 0x0800) && refused(set_pat, 1ul << 63));
    check("PAT's good ones read as written",
          accepted(set_pat, 0x0706050401000607) && rdmsr(IA32_PAT) == 0x0706050401000607);
    set_pat(old);
}

static void xcr0(void) {
    if (!(cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE)) {
        check("without XSAVE its CR4 bit is #GP and XSETBV #UD",
              refused(set_cr4, read_cr4() | CR4_OSXSAVE) &&
                  is(attempt(set_xcr0, 1), VECTOR_INVALID_OPCODE, 0));
        return;
    }
    bool hidden = !(cpuid(1, 0).ecx & CPUID_1_ECX_OSXSAVE);
    check("XSETBV without CR4.OSXSAVE is #UD", is(attempt(set_xcr0, 1), VECTOR_INVALID_OPCODE, 0));
    set_cr4(read_cr4() | CR4_OSXSAVE);
    check("CPUID's OSXSAVE mirrors CR4's", hidden && cpuid(1, 0).ecx & CPUID_1_ECX_OSXSAVE);
    check("XCR0 starts with x87 alone", get_xcr0() == 1);
    struct cpuid leaf = cpuid(0xd, 0);
    uint64_t offered = (uint64_t)leaf.edx << 32 | leaf.eax;
    check("XCR0 takes what CPUID offers", accepted(set_xcr0, offered) && get_xcr0() == offered &&
                                              accepted(set_xcr0, 1) && accepted(set_xcr0, 3));
    check("XCR0 without x87, AVX without SSE are #GP",
          refused(set_xcr0, 0) && refused(set_xcr0, 2) && refused(set_xcr0, 5));
    bool others_refused = true;
    for (unsigned bit = 2; bit < 64; bit++) {
        others_refused &= offered >> bit & 1 || refused(set_xcr0, 3 | 1ul << bit);
    }
    check("XCR0's bits that CPUID does not offer are #GP", others_refused);
    check("only XCR0 exists", refused(set_xcr, 1) && refused(set_xcr, 0xffffffff));
    check("nothing of that changed XCR0", get_xcr0() == 3);
    set_cr4(read_cr4() & ~(uint64_t)CR4_OSXSAVE);
}

static void write_tsc_aux(uint64_t value) {
    wrmsr(IA32_TSC_AUX, value);
}

static void use_rdtscp(uint64_t unused) {
    (void)unused;
    asm volatile("rdtscp" : : : "rax", "rcx", "rdx");
}

static void caches_and_time(void) {
    static uint64_t word = 1;
    asm volatile("wbinvd; invd; invlpg %0; wbinvd" : "+m"(word) : : "memory");
    check("INVD, WBINVD and INVLPG lose no data", word == 1);
    uint64_t first = rdtsc(), second = rdtsc();
    check("RDTSC goes on", second > first);
    if (cpuid(0x80000001, 0).edx & CPUID_80000001_EDX_RDTSCP) {
        uint32_t low, high, aux;
        write_tsc_aux(0x12345);
        asm volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
        check("RDTSCP goes on, with the guest's own IA32_TSC_AUX",
              ((uint64_t)high << 32 | low) > second && aux == 0x12345);
    } else {
        check("RDTSCP that CPUID does not offer is #UD",
              is(attempt(use_rdtscp, 0), VECTOR_INVALID_OPCODE, 0));
    }
}

/* Intel's processors answer such a leaf like the highest one, with what is hidden there. */
static void check_absent_leaves(void) {
    bool zero = true;
    for (uint32_t first = 0;; first = 0x80000000) {
        struct cpuid leaf = cpuid(cpuid(first, 0).eax + 0x100, 0);
        zero &= !(leaf.eax | leaf.ebx | leaf.ecx | leaf.edx);
        if (first) {
            break;
        }
    }
    check("CPUID tells nothing above its highest leaves", zero);
}

int guest_main(void) {
    check_absent_leaves();
    interrupts_start();
    interrupts_handle(WAITING, note_interrupt);
    cr0();
    cr3();
    cr4();
    cr8();
    debug_registers();
    efer();
    pat();
    xcr0();
    caches_and_time();
    return checks_done();
}
