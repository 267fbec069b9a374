/* Hypercalls with numbers and arguments that make no sense, from everywhere that a guest can be. */
#include "cpu/port.h"

#include "guests/checks.h"
#include "guests/interrupts.h"

enum {
    TSS_RSP0 = 4,
    USER_DATA = 0x33,
    USER_CODE_64 = 0x3b,
    USER_CODE_32 = 0x2b,
    KERNEL_CODE_32 = 0x20
};

static uint64_t result __attribute__((used));

/* As the runtime's, but all 64 bits of the number. */
static uint64_t call(uint64_t number, uint64_t first, uint64_t second) {
    uint64_t answer;
    asm volatile(HYPERCALL_INSTRUCTION
                 : "=a"(answer)
                 : "a"(number), "D"(first), "S"(second)
                 : "memory");
    return answer;
}

static bool unknown_numbers_are_refused(void) {
    bool right = true;
    for (uint64_t number = 7; number < 1000; number++) {
        right = right && call(number, ~0ull, ~0ull) == HYPERCALL_UNKNOWN;
    }
    for (unsigned bit = 3; bit < 64; bit++) { /* known numbers, with a bit too many */
        right = right && call(1ull << bit | HYPERCALL_EXIT, 0, 0) == HYPERCALL_UNKNOWN;
    }
    return right && call(~0ull, 0, 0) == HYPERCALL_UNKNOWN;
}

static bool bad_arguments_are_refused(void) {
    const uint64_t bad[] = {256, 31, 14, 2, 0, ~0ull, 1ull << 32, 1ull << 32 | 40, 1ull << 63};
    bool right = true;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        right = right && call(HYPERCALL_INTERRUPT, bad[i], 0) == HYPERCALL_BAD_ARGUMENT;
        right = right && call(HYPERCALL_TIMER, 1000, bad[i]) == HYPERCALL_BAD_ARGUMENT;
    }
    return right && call(HYPERCALL_TIMER, ~0ull, 40) == HYPERCALL_BAD_ARGUMENT &&
           call(HYPERCALL_REPORT, 2, 0) == HYPERCALL_BAD_ARGUMENT &&
           call(HYPERCALL_REPORT, ~0ull, 0) == HYPERCALL_BAD_ARGUMENT &&
           call(HYPERCALL_PANIC, 0, 0) == HYPERCALL_NOT_PERMITTED;
}

/* Segments beside those that the loader made, and a stack for coming back from ring 3. */
static void add_segments(void) {
    static uint64_t gdt[8] = {0,
                              0,
                              0x00af9b000000ffff,
                              0x00cf93000000ffff,
                              0x00cf9b000000ffff,
                              0x00cffb000000ffff,
                              0x00cff3000000ffff,
                              0x00affb000000ffff};
    static uint8_t stack[4096] __attribute__((aligned(16)));
    const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) gdtr = {sizeof gdt - 1, (uint64_t)gdt};
    asm volatile("lgdt %0" : : "m"(gdtr));
    /* The guest's TR begins with base 0 and a limit of 67H, so its TSS is at the start of memory. */
    asm volatile("movq %0, (%1)" : : "r"(stack + sizeof stack), "r"((uint64_t)TSS_RSP0) : "memory");
}

/* VMCALL EXIT in that segment, then HLT: in ring 3 that is #GP, with which `attempt` ends. */
static void exit_from_ring_3(uint64_t code_selector) {
    static uint8_t stack[4096] __attribute__((aligned(16)));
    asm volatile(
        "push %0; push %1; push $2; push %2; lea 1f(%%rip), %%rax; push %%rax; iretq\n\t"
        "1: mov $1, %%eax; xor %%edi, %%edi\n" HYPERCALL_INSTRUCTION "mov %%eax, %%ebx; hlt"
        :
        : "r"((uint64_t)USER_DATA), "r"((uint64_t)(stack + sizeof stack)), "r"(code_selector)
        : "rax", "rbx", "rdi", "memory");
}

static bool ring_3_is_refused(uint64_t code_selector) {
    return is(attempt(exit_from_ring_3, code_selector), VECTOR_GENERAL_PROTECTION, 0);
}

/* From compatibility mode the upper halves don't count, and the answer has none. */
static void version_from_compatibility_mode(void) {
    asm volatile("push %0; lea 1f(%%rip), %%rax; push %%rax; lretq\n\t"
                 ".code32\n\t"
                 "1: movl $0x7fffffff, %%eax\n" HYPERCALL_INSTRUCTION "ljmp $0x10, $2f\n\t"
                 ".code64\n\t"
                 "2: mov %%rax, result(%%rip)"
                 :
                 : "r"((uint64_t)KERNEL_CODE_32)
                 : "rax", "rdi", "rsi", "memory");
}

int guest_main(void) {
    interrupts_start();
    check("unknown numbers", unknown_numbers_are_refused());
    check("bad arguments", bad_arguments_are_refused());
    add_segments();
    check("exit from ring 3", ring_3_is_refused(USER_CODE_64));
    check("exit from ring 3 in compatibility mode", ring_3_is_refused(USER_CODE_32));
    version_from_compatibility_mode();
    check("an unknown number from compatibility mode", result == (uint32_t)HYPERCALL_UNKNOWN);
    return checks_done();
}
