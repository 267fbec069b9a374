/*
 * What exits cost, in ticks of the time stamp counter: from the instruction that exits to the next one,
 * less what the same code takes without it. On Bochs a tick is an instruction. A line each on the
 * console, and some of the exits once more for a trace: harness/bench/exits.py reads both.
 */
#include "cpu/msr.h"
#include "dev/scratch.h"

#include "guests/interrupts.h"
#include "guests/runtime.h"

enum { SAMPLES = 64, ABSENT_PORT = 0x1234, UART_SCRATCH = 0x3f8 + 7, WAKE_VECTOR = 0x40 };

/* As inline assembly, so that only the one instruction stands between the two readings. The lower half of
 * the counter is enough. */
#define TIMED(NAME, INSTRUCTION)                                                        \
    static uint32_t NAME(uint32_t a, uint32_t c, uint32_t d) {                          \
        uint32_t ticks;                                                                 \
        asm volatile("rdtsc; mov %%eax, %%r10d\n"                                       \
                     "mov %1, %%eax; mov %2, %%ecx; mov %3, %%edx\n" INSTRUCTION        \
                     "\nrdtsc; sub %%r10d, %%eax"                                       \
                     : "=&a"(ticks)                                                     \
                     : "r"(a), "r"(c), "r"(d), "D"((uint64_t)SCRATCH_BASE & 0xffffffff) \
                     : "rbx", "rcx", "rdx", "rsi", "r10", "memory", "cc");              \
        return ticks;                                                                   \
    }

TIMED(nothing, "")
TIMED(instruction, "nop")
TIMED(cpuid_exit, "cpuid")
TIMED(hypercall_exit, HYPERCALL_INSTRUCTION)
TIMED(out_exit, "outb %%al, %%dx")
TIMED(in_exit, "inb %%dx, %%al")
TIMED(rdmsr_exit, "rdmsr")
TIMED(wrmsr_exit, "wrmsr")
TIMED(mmio_write_exit, "mov %%eax, (%%rdi)")
TIMED(mmio_read_exit, "mov (%%rdi), %%eax")

static const struct {
    const char *name;
    uint32_t (*timed)(uint32_t a, uint32_t c, uint32_t d);
    uint32_t a, c, d;
} rows[] = {
    {"no exit (NOP)", instruction, 0, 0, 0},
    {"CPUID", cpuid_exit, 0, 0, 0},
    {"CPUID, leaf 1", cpuid_exit, 1, 0, 0},
    {"VMCALL", hypercall_exit, HYPERCALL_VERSION, 0, 0},
    {"OUT, absent port", out_exit, 0, 0, ABSENT_PORT},
    {"OUT, device", out_exit, 0x5a, 0, UART_SCRATCH},
    {"IN, device", in_exit, 0, 0, UART_SCRATCH},
    {"RDMSR", rdmsr_exit, 0, (uint32_t)IA32_EFER, 0},
    {"WRMSR", wrmsr_exit, 0, IA32_BIOS_SIGN_ID, 0},
    {"MMIO write", mmio_write_exit, 0x5a, 0, 0},
    {"MMIO read", mmio_read_exit, 0, 0, 0},
};

/* The handler exits with its first instruction, so that a trace has when it began. */
void woken(void);
asm(".pushsection .text\n"
    "woken:\n"
    "	push %rax; push %rbx; push %rcx; push %rdx\n"
    "	cpuid\n"
    "	pop %rdx; pop %rcx; pop %rbx; pop %rax\n"
    "	iretq\n"
    ".popsection\n");

static void set_gate(unsigned vector, uint64_t address) {
    struct interrupt_gate *gate = &interrupts_idt[vector];
    gate->offset_low = (uint16_t)address;
    gate->offset_middle = (uint16_t)(address >> 16);
    gate->offset_high = (uint32_t)(address >> 32);
}

static uint32_t least(uint32_t (*timed)(uint32_t, uint32_t, uint32_t), uint32_t a, uint32_t c,
                      uint32_t d) {
    uint32_t result = UINT32_MAX;
    for (int i = 0; i < SAMPLES; i++) {
        uint32_t ticks = timed(a, c, d);
        result = ticks < result ? ticks : result;
    }
    return result;
}

int guest_main(void) {
    uint32_t costs[sizeof rows / sizeof rows[0]];
    uint32_t overhead = least(nothing, 0, 0, 0);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t cost = least(rows[i].timed, rows[i].a, rows[i].c, rows[i].d);
        costs[i] = cost > overhead ? cost - overhead : 0; /* where time jitters NOP may take less */
    }
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        print("cost of ");
        print(rows[i].name);
        print(": ");
        print_hex(costs[i]);
        print(" ticks\n");
    }
    interrupts_start();
    set_gate(WAKE_VECTOR, (uint64_t)woken);
    for (int i = 0; i < SAMPLES; i++) { /* the interrupt is there when HLT is reached */
        hypercall(HYPERCALL_INTERRUPT, WAKE_VECTOR, 0);
        asm volatile("sti; hlt; cli" : : : "memory");
    }
    report(costs[1] > 0, costs[1]);
    return 0;
}
