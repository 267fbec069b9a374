/* Instructions that make whoever emulates or skips them look in the wrong place. */
#include "cpu/control.h"
#include "cpu/cpuid.h"
#include "cpu/port.h"

#include "guests/hostile.h"

volatile struct parameter parameter = {PARAMETER_MARK, {.text = "self-modifying"}};

static const uint64_t WINDOW = 3ul << 30;

static void copy(uint64_t to, const uint8_t *code, unsigned size) {
    for (unsigned i = 0; i < size; i++) {
        ((volatile uint8_t *)to)[i] = code[i];
    }
}

/* Each store to the device is rewritten, by the instruction before it, to store another byte. */
static void self_modifying(void) {
    volatile uint8_t *device = (volatile uint8_t *)DEVICE;
    bool right = true;
    for (unsigned i = 1; i < 100; i++) {
        asm volatile("movb %b0, 1f+2(%%rip)\n\t"
                     "1: movb $0, (%1)"
                     :
                     : "q"(i), "r"(device)
                     : "memory");
        right = right && device[0] == i;
    }
    survive(right, device[0]);
}

/* mov %eax, (%rdi), of which only the first byte is in memory. */
static void straddles_the_end(void) {
    static const uint8_t store[] = {0x89};
    copy(memory_end() - 1, store, sizeof store);
    asm volatile("jmp *%0" : : "r"(memory_end() - 1), "D"(DEVICE));
}

/* A CPUID as the last instruction of memory: RIP is then the first address behind it. */
static void exits_at_the_end(void) {
    static const uint8_t code[] = {0x0f, 0xa2};
    copy(memory_end() - 2, code, sizeof code);
    asm volatile("jmp *%0" : : "r"(memory_end() - 2) : "rax", "rbx", "rcx", "rdx");
}

/* The same at the end of the lower canonical half: RIP becomes an address that is not canonical. */
static void exits_at_the_canonical_end(void) {
    static const uint8_t code[] = {0x0f, 0xa2};
    uint64_t page = memory_end() - 0x40000, table = page + 0x1000;
    for (uint64_t at = table; at < table + 0x3000; at += 0x1000) {
        ((volatile uint64_t *)at)[511] = (at == table + 0x2000 ? page : at + 0x1000) | SMALL_TABLE;
    }
    ((volatile uint64_t *)PML4)[255] = table | SMALL_TABLE;
    flush_tlb();
    copy(page + 0xffe, code, sizeof code);
    interrupts_start();
    struct caught caught = attempt((void (*)(uint64_t))0x7ffffffffffe, 0);
    survive(is(caught, VECTOR_GENERAL_PROTECTION, 0) && caught.rip == 0x800000000000, caught.rip);
}

static void device_straddles_its_end(void) {
    (void)*(volatile uint64_t *)(DEVICE + 0xffc);
}

static void begins_before_the_device(void) {
    uint64_t page = memory_end() - 0x40000, table = page + 0x1000;
    ((volatile uint64_t *)table)[0] = page | SMALL_PAGE;
    ((volatile uint64_t *)table)[1] = DEVICE | SMALL_PAGE;
    map_small(WINDOW, table);
    *(volatile uint64_t *)(WINDOW + 0xffc) = ~0ull;
}

static void many_prefixes(void) {
    /* DS, twelve times, then mov %eax, (%rdi): fifteen bytes with its ModRM is the most. */
    asm volatile(".rept 13; .byte 0x3e; .endr; mov %%eax, (%%rdi)"
                 :
                 : "a"(0x1234), "D"(DEVICE)
                 : "memory");
    survive(*(volatile uint32_t *)DEVICE == 0x1234, *(volatile uint32_t *)DEVICE);
}

static void sixteen_bytes(uint64_t device) {
    asm volatile(".rept 14; .byte 0x3e; .endr; mov %%eax, (%%rdi)" : : "D"(device) : "memory");
}

static void too_many_prefixes(void) {
    interrupts_start();
    survive(is(attempt(sixteen_bytes, DEVICE), VECTOR_GENERAL_PROTECTION, 0), 0);
}

static void copies_to_the_device(void) {
    uint64_t to = DEVICE, from = 0x100000, count = 100;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

static void exchanges_with_the_device(void) {
    asm volatile("xchg %%rax, (%0)" : : "r"(DEVICE) : "rax", "memory");
}

static void adds_to_the_device(void) {
    asm volatile("lock incq (%0)" : : "r"(DEVICE) : "memory");
}

static void stores_a_vector_to_the_device(void) {
    write_cr4(read_cr4() | CR4_OSFXSR);
    asm volatile("movups %%xmm0, (%0)" : : "r"(DEVICE) : "memory");
}

static void string_io(void) {
    uint64_t from = 0x100000, count = 1 << 30;
    asm volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(0x3f8) : "memory");
}

static uint64_t xcr0;
static uint32_t xcr;

static void set_xcr(uint64_t unused) {
    (void)unused;
    asm volatile("xsetbv" : : "c"(xcr), "a"((uint32_t)xcr0), "d"((uint32_t)(xcr0 >> 32)));
}

static bool refuses_xcr(uint32_t number, uint64_t value) {
    xcr = number, xcr0 = value;
    return is(attempt(set_xcr, 0), VECTOR_GENERAL_PROTECTION, 0);
}

/* SDM 2D, XSETBV. Bits 3 and 4 (MPX), 5 to 7 (AVX-512) and 9 (PKRU) are the processor's, perhaps,
 * but not offered. */
static void bad_xsetbv(void) {
    interrupts_start();
    bool right = is(attempt(set_xcr, 0), VECTOR_INVALID_OPCODE, 0); /* before CR4.OSXSAVE */
    if (cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE) {
        write_cr4(read_cr4() | CR4_OSXSAVE);
        right = right && refuses_xcr(0, 0) && refuses_xcr(0, 2) && refuses_xcr(0, 5) &&
                refuses_xcr(0, 0x1b) && refuses_xcr(0, 0xe7) && refuses_xcr(0, 0x207) &&
                refuses_xcr(0, ~0ull) && refuses_xcr(0, 1ull << 63 | 7) && refuses_xcr(1, 1) &&
                refuses_xcr(~0u, 1);
    }
    survive(right, xcr0);
}

static void halt_stepping(uint64_t unused) {
    (void)unused;
    asm volatile("pushf; orl $0x100, (%%rsp); popf; hlt" : : : "memory");
}

/* The trap behind HLT wakes it. */
static void halt_under_trap_flag(void) {
    interrupts_start();
    survive(is(attempt(halt_stepping, 0), VECTOR_DEBUG, 0), 0);
}

extern const char behind_int1[];

static void int1(uint64_t unused) {
    (void)unused;
    asm volatile("int1\n\t"
                 ".globl behind_int1\n"
                 "behind_int1:");
}

/* INT1 exits as #DB does, but is delivered behind itself, and DR6 does not tell of it. */
static void raise_int1(void) {
    uint64_t dr6;
    interrupts_start();
    struct caught caught = attempt(int1, 0);
    asm volatile("mov %%dr6, %0" : "=r"(dr6));
    survive(is(caught, VECTOR_DEBUG, 0) && caught.rip == (uint64_t)behind_int1 && dr6 == 0xffff0ff0,
            dr6);
}

enum { DR7_GD = 1 << 13, DR6_BD = 1 << 13, DR7_FIXED = 1 << 10 };

static void detected(uint64_t dr7) {
    asm volatile("mov %0, %%dr7; mov %0, %%dr0" : : "r"(dr7));
}

/* The handler of general detect finds DR7.GD clear, or could not even look. */
static void general_detect(void) {
    uint64_t dr6, dr7;
    interrupts_start();
    struct caught caught = attempt(detected, DR7_GD | DR7_FIXED);
    asm volatile("mov %%dr6, %0; mov %%dr7, %1" : "=r"(dr6), "=r"(dr7));
    survive(is(caught, VECTOR_DEBUG, 0) && dr6 == (0xffff0ff0 | DR6_BD) && dr7 == DR7_FIXED, dr6);
}

static const struct act acts[] = {
    {"self-modifying", self_modifying},
    {"straddles-the-end", straddles_the_end},
    {"exits-at-the-end", exits_at_the_end},
    {"exits-at-canonical-end", exits_at_the_canonical_end},
    {"device-end", device_straddles_its_end},
    {"before-device", begins_before_the_device},
    {"many-prefixes", many_prefixes},
    {"too-many-prefixes", too_many_prefixes},
    {"rep-movs-to-device", copies_to_the_device},
    {"xchg-with-device", exchanges_with_the_device},
    {"lock-inc-device", adds_to_the_device},
    {"movups-to-device", stores_a_vector_to_the_device},
    {"rep-outs", string_io},
    {"bad-xsetbv", bad_xsetbv},
    {"halt-under-trap-flag", halt_under_trap_flag},
    {"int1", raise_int1},
    {"general-detect", general_detect},
};

int guest_main(void) {
    return commit(acts, sizeof acts / sizeof acts[0]);
}
