/*
 * Fills every register that a guest can reach with values made from its parameter, lets many slices
 * pass, and looks whether all are still its own. With parameter 0 it writes none, and must find what
 * a processor has after reset, whatever its neighbours have written.
 */
#include "cpu/control.h"
#include "cpu/cpuid.h"
#include "cpu/msr.h"

#include "guests/interrupts.h"
#include "guests/parameter.h"
#include "guests/runtime.h"

enum { ROUNDS = 6, SPINS = 25000, RFLAGS_KEPT = 0x240400 /* ID, AC, DF */ };
enum { FX_FCW = 0, FX_MXCSR = 24, FX_ST = 32, FX_XMM = 160, FX_COMPARED = 416 };
enum { RSP = 4, XCR0_ALL = 7, XCR0_WITHOUT_AVX = 3 };

volatile struct parameter parameter = {PARAMETER_MARK, {.value = 1}};

/* Registers as `hold` moves them; the offsets stand in it. */
static struct image {
    uint8_t fx[512];           /* FXSAVE: x87, MXCSR, XMM0 to XMM15 */
    uint64_t upper_ymm[16][2]; /* 512 */
    uint64_t gpr[16];          /* 768, in encoding order */
    uint64_t rflags;           /* 896 */
} __attribute__((aligned(64))) wanted __attribute__((used)), found __attribute__((used));

static uint64_t hold_rsp __attribute__((used)), hold_spins __attribute__((used));
static uint8_t has_avx __attribute__((used)), lowers_xcr0 __attribute__((used));

/* Loads `wanted`, spins with every register live, stores `found`. */
void hold(void);
asm(".text\n"
    "hold:\n"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "mov %rsp, hold_rsp(%rip)\n"
    "fxrstor64 wanted(%rip)\n"
    "cmpb $0, has_avx(%rip)\n"
    "je 1f\n"
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
    "vinsertf128 $1, wanted+512+16*\\n(%rip), %ymm\\n, %ymm\\n\n"
    ".endr\n"
    "cmpb $0, lowers_xcr0(%rip)\n"
    "je 1f\n"
    "xor %ecx, %ecx; xor %edx, %edx; mov $3, %eax; xsetbv\n"
    "1: push wanted+896(%rip); popf\n"
    ".set n, 0\n"
    ".irp r, rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15\n"
    "mov wanted+768+8*n(%rip), %\\r\n"
    ".set n, n + 1\n"
    ".endr\n"
    "2: decq hold_spins(%rip)\n"
    "jnz 2b\n"
    ".set n, 0\n"
    ".irp r, rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15\n"
    "mov %\\r, found+768+8*n(%rip)\n"
    ".set n, n + 1\n"
    ".endr\n"
    "mov hold_rsp(%rip), %rsp\n"
    "pushf; pop found+896(%rip)\n"
    "cld\n"
    "fxsave64 found(%rip)\n"
    "cmpb $0, has_avx(%rip)\n"
    "je 3f\n"
    "xor %ecx, %ecx; xor %edx, %edx; mov $7, %eax; xsetbv\n"
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
    "vextractf128 $1, %ymm\\n, found+512+16*\\n(%rip)\n"
    ".endr\n"
    "3: pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "ret\n");

static uint64_t mixed(uint64_t index) { /* splitmix64 */
    uint64_t z = (parameter.value << 32) + index * 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static uint64_t canonical(uint64_t value) {
    return (uint64_t)((int64_t)(value << 17) >> 17);
}

static bool has_rdtscp(void) {
    return cpuid(0x80000001, 0).edx & CPUID_80000001_EDX_RDTSCP;
}

static void fill_image(void) {
    for (unsigned i = 0; i < 8;
         i++) { /* 80-bit numbers: any mantissa with its top bit, exponents */
        *(uint64_t *)&wanted.fx[FX_ST + 16 * i] = mixed(i) | 1ull << 63;
        *(uint16_t *)&wanted.fx[FX_ST + 16 * i + 8] = (uint16_t)(mixed(i + 8) & 0x3fff) + 1;
    }
    *(uint16_t *)&wanted.fx[FX_FCW] = (uint16_t)(0x37f ^ (parameter.value & 3) << 10);
    wanted.fx[4] = 0xff; /* FTW, abridged: all eight are in use */
    *(uint32_t *)&wanted.fx[FX_MXCSR] = 0x1f80 ^ (uint32_t)(parameter.value & 3) << 13;
    *(uint32_t *)&wanted.fx[FX_MXCSR + 4] = 0xffff; /* what FXSAVE puts there */
    for (unsigned i = 0; i < 32; i++) {
        *(uint64_t *)&wanted.fx[FX_XMM + 8 * i] = mixed(i + 16);
        wanted.upper_ymm[i / 2][i % 2] = mixed(i + 48);
    }
    for (unsigned i = 0; i < 16; i++) {
        wanted.gpr[i] = mixed(i + 80);
    }
    wanted.rflags = (mixed(96) & RFLAGS_KEPT) | 2;
}

static bool image_is_kept(void) {
    bool kept = (found.rflags & RFLAGS_KEPT) == (wanted.rflags & RFLAGS_KEPT);
    for (unsigned i = 0; i < FX_COMPARED; i++) {
        bool counts = i < 5 || (i >= FX_MXCSR && i < FX_MXCSR + 4) || i >= FX_XMM ||
                      (i >= FX_ST && (i - FX_ST) % 16 < 10);
        kept = kept && (!counts || found.fx[i] == wanted.fx[i]);
    }
    for (unsigned i = 0; i < 16; i++) {
        kept = kept && found.gpr[i] == wanted.gpr[i];
        kept = kept && (!has_avx || (found.upper_ymm[i][0] == wanted.upper_ymm[i][0] &&
                                     found.upper_ymm[i][1] == wanted.upper_ymm[i][1]));
    }
    return kept;
}

/* Everything that is no operand: bit by bit in `report`'s value, so that a failure says which. */
enum system_register {
    CR2,
    DR0,
    DR1,
    DR2,
    DR3,
    DR6,
    DR7,
    MSR_PAT,
    MSR_STAR,
    MSR_LSTAR,
    MSR_CSTAR,
    MSR_FMASK,
    MSR_KERNEL_GS,
    MSR_FS,
    MSR_GS,
    MSR_SYSENTER_CS,
    MSR_SYSENTER_ESP,
    MSR_SYSENTER_EIP,
    MSR_TSC_AUX,
    XCR0,
    SYSTEM_REGISTERS
};

static enum msr msr_of(enum system_register which) {
    static const uint32_t msrs[SYSTEM_REGISTERS] = {
        [MSR_PAT] = IA32_PAT,
        [MSR_STAR] = (uint32_t)IA32_STAR,
        [MSR_LSTAR] = (uint32_t)IA32_LSTAR,
        [MSR_CSTAR] = (uint32_t)IA32_CSTAR,
        [MSR_FMASK] = (uint32_t)IA32_FMASK,
        [MSR_KERNEL_GS] = (uint32_t)IA32_KERNEL_GS_BASE,
        [MSR_FS] = (uint32_t)IA32_FS_BASE,
        [MSR_GS] = (uint32_t)IA32_GS_BASE,
        [MSR_SYSENTER_CS] = IA32_SYSENTER_CS,
        [MSR_SYSENTER_ESP] = IA32_SYSENTER_ESP,
        [MSR_SYSENTER_EIP] = IA32_SYSENTER_EIP,
        [MSR_TSC_AUX] = (uint32_t)IA32_TSC_AUX,
    };
    return (enum msr)msrs[which];
}

static bool exists(enum system_register which) {
    bool osxsave = read_cr4() & CR4_OSXSAVE;
    return which == MSR_TSC_AUX ? has_rdtscp() : which == XCR0 ? osxsave : true;
}

static uint64_t read(enum system_register which) {
    uint64_t value = 0;
    uint32_t low, high;
    switch ((unsigned)which) {
    case CR2: return read_cr2();
    case DR0: asm volatile("mov %%dr0, %0" : "=r"(value)); return value;
    case DR1: asm volatile("mov %%dr1, %0" : "=r"(value)); return value;
    case DR2: asm volatile("mov %%dr2, %0" : "=r"(value)); return value;
    case DR3: asm volatile("mov %%dr3, %0" : "=r"(value)); return value;
    case DR6: asm volatile("mov %%dr6, %0" : "=r"(value)); return value;
    case DR7: asm volatile("mov %%dr7, %0" : "=r"(value)); return value;
    case XCR0:
        asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        return (uint64_t)high << 32 | low;
    default: return rdmsr(msr_of(which));
    }
}

static void touch(uint64_t address) {
    *(volatile uint8_t *)address = 0;
}

static void write(enum system_register which, uint64_t value) {
    switch ((unsigned)which) {
    case CR2: /* as the processor writes it: by a page fault at that address */
        attempt(touch, value);
        break;
    case DR0: asm volatile("mov %0, %%dr0" : : "r"(value)); break;
    case DR1: asm volatile("mov %0, %%dr1" : : "r"(value)); break;
    case DR2: asm volatile("mov %0, %%dr2" : : "r"(value)); break;
    case DR3: asm volatile("mov %0, %%dr3" : : "r"(value)); break;
    case DR6: asm volatile("mov %0, %%dr6" : : "r"(value)); break;
    case DR7: asm volatile("mov %0, %%dr7" : : "r"(value)); break;
    case XCR0: asm volatile("xsetbv" : : "c"(0), "a"((uint32_t)value), "d"(0)); break;
    default: wrmsr(msr_of(which), value); break;
    }
}

/* What this guest writes; the breakpoints are on, at addresses that it never touches. */
static uint64_t chosen(enum system_register which) {
    uint64_t any = mixed(100 + which);
    switch ((unsigned)which) {
    case CR2: return 0x100000000000 | (any & 0x0fffffffffff);
    case DR6: return 0xffff0ff0 | (any & 0xe00f);
    case DR7: return 0xdddd0700 | (any & 0xff);
    case MSR_PAT: return PAT_AT_RESET ^ (any & 1) ^ (any & 0x0100000000000000);
    case MSR_STAR: return any;
    case MSR_SYSENTER_CS: return (uint16_t)any; /* a selector: not every processor keeps more */
    case MSR_FMASK:
    case MSR_TSC_AUX: return (uint32_t)any;
    case XCR0: return has_avx ? XCR0_ALL : XCR0_WITHOUT_AVX;
    default: return canonical(any);
    }
}

/* SDM 3A, table 9-1. */
static uint64_t at_reset(enum system_register which) {
    switch ((unsigned)which) {
    case DR6: return 0xffff0ff0;
    case DR7: return 0x400;
    case MSR_PAT: return PAT_AT_RESET;
    case XCR0: return 1;
    default: return 0;
    }
}

static void start_extended_state(void) {
    uint32_t features = cpuid(1, 0).ecx;
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT |
              (features & CPUID_1_ECX_XSAVE ? CR4_OSXSAVE : 0));
    has_avx = (features & CPUID_1_ECX_XSAVE) && (cpuid(0xd, 0).eax & 4);
}

static int live_with_own(void) {
    uint64_t wrong = 0;
    interrupts_start();
    fill_image();
    lowers_xcr0 = has_avx && parameter.value % 2;
    for (unsigned i = 0; i < SYSTEM_REGISTERS; i++) {
        if (exists((enum system_register)i)) {
            write((enum system_register)i, chosen((enum system_register)i));
        }
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        hold_spins = SPINS;
        hold();
        wrong |= image_is_kept() ? 0 : 1ull << 63;
        for (unsigned i = 0; i < SYSTEM_REGISTERS; i++) {
            enum system_register which = (enum system_register)i;
            wrong |= exists(which) && read(which) != chosen(which) ? 1ull << i : 0;
        }
    }
    report(wrong == 0, wrong);
    return wrong != 0;
}

static uint64_t differs_from_reset(void) {
    uint64_t wrong = 0;
    for (unsigned i = 0; i < SYSTEM_REGISTERS; i++) {
        enum system_register which = (enum system_register)i;
        wrong |= exists(which) && read(which) != at_reset(which) ? 1ull << i : 0;
    }
    asm volatile("fxsave64 %0" : "=m"(found.fx));
    for (unsigned i = FX_ST; i < FX_COMPARED; i++) {
        wrong |= found.fx[i] ? 1ull << 62 : 0;
    }
    wrong |= *(uint32_t *)&found.fx[FX_MXCSR] != 0x1f80 ? 1ull << 61 : 0;
    return wrong;
}

static int live_with_none(void) {
    uint64_t wrong = differs_from_reset();
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (volatile unsigned spins = 0; spins < SPINS / 2; spins++) {
        }
        wrong |= differs_from_reset();
    }
    if (has_avx) { /* only with XCR0 raised can the upper halves be seen */
        write(XCR0, XCR0_ALL);
        asm volatile(".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
                     "vextractf128 $1, %%ymm\\n, found+512+16*\\n(%%rip)\n\t"
                     ".endr"
                     :
                     :
                     : "memory");
        for (unsigned i = 0; i < 32; i++) {
            wrong |= found.upper_ymm[i / 2][i % 2] ? 1ull << 60 : 0;
        }
    }
    report(wrong == 0, wrong);
    return wrong != 0;
}

int guest_main(void) {
    start_extended_state();
    return parameter.value ? live_with_own() : live_with_none();
}
