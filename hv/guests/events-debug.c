/* Single steps and breakpoints work across instructions that exit as across those that don't. */
#include "cpu/msr.h"
#include "guests/checks.h"
#include "guests/interrupts.h"

enum { DR6_B0 = 1 << 0, DR6_B1 = 1 << 1, DR6_BS = 1 << 14, DR6_CAUSES = 0xe00f };
enum { DR7_FIXED = 1 << 10, DR7_L0 = 1 << 0, DR7_L1 = 1 << 2 };
enum { DR7_0_WRITE_4 = 0xd << 16, DR7_0_ACCESS_2 = 0x7 << 16 };

/* The #DB that arrived, in order. */
enum { MOST_ARRIVALS = 64 };
static volatile struct arrival {
    uint64_t rip, causes;
} arrivals[MOST_ARRIVALS];
static volatile unsigned count;

static void write_dr6(uint64_t value) {
    asm volatile("mov %0, %%dr6" : : "r"(value));
}

static void write_dr7(uint64_t value) {
    asm volatile("mov %0, %%dr7" : : "r"(value | DR7_FIXED) : "memory");
}

static uint64_t read_dr7(void) {
    uint64_t value;
    asm volatile("mov %%dr7, %0" : "=r"(value));
    return value;
}

static void on_debug(struct interrupt_frame *frame) {
    uint64_t dr6;
    asm volatile("mov %%dr6, %0" : "=r"(dr6));
    write_dr6(0xffff0ff0);
    if (count < MOST_ARRIVALS) {
        arrivals[count].rip = frame->rip;
        arrivals[count].causes = dr6 & DR6_CAUSES;
        count++;
    }
    frame->rflags |= RFLAGS_RF; /* over an instruction breakpoint */
}

/* Most of these exit. A label behind each says where its trap must arrive. */
void stepped(void);
extern const uint32_t steps[], steps_end[];
asm(".pushsection .text\n"
    ".macro hypercall\n" HYPERCALL_INSTRUCTION ".endm\n"
    ".macro step instruction:vararg\n"
    "	\\instruction\n"
    "771:\n"
    "	.pushsection .rodata.steps; .long 771b; .popsection\n"
    ".endm\n"
    ".pushsection .rodata.steps, \"a\"; .balign 4; .globl steps; steps:; .popsection\n"
    "stepped:\n"
    "	push %rbx\n"
    "	mov $0xd0000000, %r8d\n"
    "	pushfq\n"
    "	orq $0x100, (%rsp)\n"
    "	popfq\n"
    "	step nop\n"
    "	step xor %eax, %eax\n"
    "	step cpuid\n"
    "	step nop\n"
    "	step mov $0xc0000080, %ecx\n"
    "	step rdmsr\n"
    "	step wrmsr\n"
    "	step mov $0x3f9, %edx\n"
    "	step in %dx, %al\n"
    "	step mov $0, %al\n"
    "	step out %al, %dx\n"
    "	step xor %eax, %eax\n"
    "	step hypercall\n"
    "	step mov %cr0, %rax\n"
    "	step mov %rax, %cr0\n"
    "	step xor $0x20, %eax\n"
    "	step mov %rax, %cr0\n"
    "	step clts\n"
    "	step mov %cr4, %rax\n"
    "	step mov %rax, %cr4\n"
    "	step mov %cr3, %rax\n"
    "	step mov %rax, %cr3\n"
    "	step mov %cr8, %rax\n"
    "	step mov %rax, %cr8\n"
    "	step wbinvd\n"
    "	step invd\n"
    "	step mov $1, %eax\n"
    "	step mov %eax, (%r8)\n"
    "	step mov (%r8), %eax\n"
    "	step rdtsc\n"
    "	step sti\n"
    "	step cpuid\n"
    "	step cli\n"
    "	step pushfq\n"
    "	step andq $~0x100, (%rsp)\n"
    "	step popfq\n"
    "	nop\n"
    "	pop %rbx\n"
    "	ret\n"
    ".pushsection .rodata.steps; .globl steps_end; steps_end:; .popsection\n"
    ".popsection");

static void single_step(void) {
    count = 0;
    stepped();
    unsigned expected = (unsigned)(steps_end - steps);
    bool right = true;
    for (unsigned i = 0; i < expected && i < count; i++) {
        if (arrivals[i].rip != steps[i] || arrivals[i].causes != DR6_BS) {
            print("step ");
            print_hex(i);
            print(" at ");
            print_hex(arrivals[i].rip);
            print(" instead of ");
            print_hex(steps[i]);
            print(", causes ");
            print_hex(arrivals[i].causes);
            print("\n");
            right = false;
            break;
        }
    }
    check("each step traps once behind its instruction", right && count == expected);
}

static void unknown_msr(uint64_t msr) {
    wrmsr((enum msr)msr, 0);
}

static void step_into_a_fault(uint64_t msr) {
    asm volatile("pushfq; orq $0x100, (%%rsp); popfq\n"
                 "wrmsr"
                 :
                 : "c"((uint32_t)msr), "a"(0), "d"(0));
}

static void undefined_instruction(uint64_t unused) {
    (void)unused;
    asm volatile("ud2");
}

static void faults(void) {
    struct caught native = attempt(undefined_instruction, 0),
                  injected = attempt(unknown_msr, 0x12345678);
    check("a fault pushes RFLAGS with RF set", native.rflags & RFLAGS_RF);
    check("and so does one that the hypervisor raises", injected.rflags & RFLAGS_RF);
    count = 0;
    injected = attempt(step_into_a_fault, 0x12345678);
    check("a step onto an instruction that faults does not trap",
          is(injected, VECTOR_GENERAL_PROTECTION, 0) && injected.rflags & RFLAGS_TF && count == 0);
}

extern const char cpuid_with_breakpoint[], nop_with_breakpoint[];

static void breakpoints(void) {
    count = 0;
    asm volatile("mov %0, %%dr0; mov %1, %%dr1"
                 :
                 : "r"(cpuid_with_breakpoint), "r"(nop_with_breakpoint));
    write_dr7(DR7_L0 | DR7_L1);
    hypercall(HYPERCALL_VERSION, 0, 0);
    check("DR7 is kept across exits", read_dr7() == (DR7_FIXED | DR7_L0 | DR7_L1));
    write_dr7(DR7_L0 | DR7_L1);
    asm volatile(".globl cpuid_with_breakpoint, nop_with_breakpoint\n"
                 "xor %%eax, %%eax\n"
                 "cpuid_with_breakpoint: cpuid\n"
                 "nop_with_breakpoint: nop"
                 :
                 :
                 : "eax", "ebx", "ecx", "edx");
    check("an instruction breakpoint stops before one that exits",
          count >= 1 && arrivals[0].rip == (uint64_t)cpuid_with_breakpoint &&
              arrivals[0].causes == DR6_B0);
    check("and the next one right behind it too",
          count == 2 && arrivals[1].rip == (uint64_t)nop_with_breakpoint &&
              arrivals[1].causes == DR6_B1);

    count = 0;
    extern const char nop_behind_device[];
    asm volatile("mov %0, %%dr0" : : "r"(nop_behind_device));
    write_dr7(DR7_L0);
    asm volatile(".globl nop_behind_device\n"
                 "mov $0xd0000000, %%eax; mov (%%rax), %%eax\n"
                 "nop_behind_device: nop"
                 :
                 :
                 : "rax", "memory");
    check("behind an access to a device as well",
          count == 1 && arrivals[0].rip == (uint64_t)nop_behind_device);

    static volatile uint32_t watched;
    count = 0;
    asm volatile("mov %0, %%dr0" : : "r"(&watched));
    write_dr7(DR7_L0 | DR7_0_WRITE_4);
    hypercall(HYPERCALL_VERSION, 0, 0);
    watched = 1;
    asm volatile("" : : : "memory");
    check("a data breakpoint stays armed across exits", count == 1 && arrivals[0].causes == DR6_B0);
    write_dr7(0);
}

/* MOV SS holds its own data breakpoint back until behind the next instruction, even if that exits
 * (SDM 3A 6.8.3, 18.3.1.2). */
extern const char behind_cpuid[], behind_cpuid_stepped[];

static void debug_in_shadow(void) {
    static volatile uint16_t selector = GUEST_DATA_SELECTOR;
    count = 0;
    asm volatile("mov %0, %%dr0" : : "r"(&selector));
    write_dr7(DR7_L0 | DR7_0_ACCESS_2);
    asm volatile(".globl behind_cpuid\n"
                 "xor %%eax, %%eax; mov %0, %%ss; cpuid\n"
                 "behind_cpuid: nop"
                 :
                 : "m"(selector)
                 : "eax", "ebx", "ecx", "edx");
    check("a data breakpoint on MOV SS traps behind the CPUID that follows",
          count == 1 && arrivals[0].rip == (uint64_t)behind_cpuid && arrivals[0].causes == DR6_B0);

    count = 0;
    asm volatile(".globl behind_cpuid_stepped\n"
                 "pushfq; pushfq; orq $0x100, (%%rsp); xor %%eax, %%eax; popfq\n"
                 "mov %0, %%ss; cpuid\n"
                 "behind_cpuid_stepped: popfq; nop"
                 :
                 : "m"(selector)
                 : "eax", "ebx", "ecx", "edx", "memory");
    check("and together with its single step",
          count >= 1 && arrivals[0].rip == (uint64_t)behind_cpuid_stepped &&
              arrivals[0].causes == (DR6_B0 | DR6_BS));
    write_dr7(0);
}

extern const char behind_hlt[];

static void step_over_hlt(void) {
    count = 0;
    asm volatile(".globl behind_hlt\n"
                 "cli; pushfq; pushfq; orq $0x100, (%%rsp); popfq\n"
                 "hlt\n"
                 "behind_hlt: popfq"
                 :
                 :
                 : "memory");
    check("a single step ends a HLT with interrupts off",
          count >= 1 && arrivals[0].rip == (uint64_t)behind_hlt && arrivals[0].causes == DR6_BS);
}

int guest_main(void) {
    interrupts_start();
    interrupts_handle(VECTOR_DEBUG, on_debug);
    single_step();
    faults();
    breakpoints();
    debug_in_shadow();
    step_over_hlt();
    return checks_done();
}
