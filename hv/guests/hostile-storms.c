/* Events without end: each act keeps the processor busy with them as long as it is let. */
#include "cpu/port.h"

#include "guests/hostile.h"

volatile struct parameter parameter = {PARAMETER_MARK, {.text = "interrupts"}};

enum { VECTOR = 40, TICKS = 1200000, ENOUGH = 100, RFLAGS_TRAP = RFLAGS_TF };

static uint64_t start;
static volatile uint64_t events;

static void again_if_time(void) {
    if (rdtsc() - start > TICKS && events > ENOUGH) {
        survive(true, events);
    }
    events++;
}

static void raise_again(struct interrupt_frame *frame) {
    again_if_time();
    hypercall(HYPERCALL_INTERRUPT, frame->vector, 0);
    frame->rflags |= RFLAGS_IF;
}

static void interrupts(void) {
    interrupts_handle(VECTOR, raise_again);
    hypercall(HYPERCALL_INTERRUPT, VECTOR, 0);
    asm volatile("sti");
    for (;;) {
    }
}

/* All vectors at once, over and over: none is lost while the guest does not take them. */
static void all_vectors(void) {
    for (unsigned vector = 32; vector < 256; vector++) {
        interrupts_handle(vector, raise_again);
        hypercall(HYPERCALL_INTERRUPT, vector, 0);
    }
    asm volatile("sti");
    for (;;) {
    }
}

static void nmi_again(struct interrupt_frame *frame) {
    (void)frame;
    again_if_time();
    hypercall(HYPERCALL_NMI, 0, 0);
}

static void nmis(void) {
    interrupts_handle(VECTOR_NMI, nmi_again);
    hypercall(HYPERCALL_NMI, 0, 0);
    for (;;) {
    }
}

static void timer_again(struct interrupt_frame *frame) {
    again_if_time();
    hypercall(HYPERCALL_TIMER, 1, VECTOR);
    frame->rflags |= RFLAGS_IF;
}

/* Due at once, each time. */
static void timers(void) {
    interrupts_handle(VECTOR, timer_again);
    hypercall(HYPERCALL_TIMER, 1, VECTOR);
    asm volatile("sti");
    for (;;) {
        asm volatile("hlt");
    }
}

static uint64_t stack_top __attribute__((used));

/* INT in its own handler, the stack put back each time. */
__attribute__((naked)) static void int_again(void) {
    asm volatile("mov stack_top(%rip), %rsp\n\t"
                 "call again_in_int\n\t"
                 "int $41");
}

void again_in_int(void);
void again_in_int(void) {
    again_if_time();
}

static void int_in_its_handler(void) {
    uint64_t handler = (uint64_t)int_again;
    asm volatile("mov %%rsp, %0" : "=r"(stack_top));
    interrupts_idt[VECTOR + 1].offset_low = (uint16_t)handler;
    interrupts_idt[VECTOR + 1].offset_middle = (uint16_t)(handler >> 16);
    asm volatile("and $-16, %%rsp; int $41" : : : "memory");
}

static void step(struct interrupt_frame *frame) {
    again_if_time();
    frame->rflags |= RFLAGS_TRAP;
}

/* Each instruction traps, those that exit too. */
static void single_steps(void) {
    interrupts_handle(VECTOR_DEBUG, step);
    asm volatile("pushf; orl %0, (%%rsp); popf" : : "i"(RFLAGS_TRAP) : "memory", "cc");
    for (;;) {
        asm volatile("cpuid" : : "a"(1), "c"(0) : "rbx", "rdx");
    }
}

static void page_faults(uint64_t address) {
    (void)*(volatile uint8_t *)address;
}

static void faults(void) {
    for (;;) {
        again_if_time();
        attempt(page_faults, 1ull << 40);
    }
}

/* STI and MOV SS hold events back for an instruction: a row of them must not hold the timer back. */
static void shadows(void) {
    for (;;) {
        again_if_time();
        asm volatile(".rept 4000; mov %0, %%ss; .endr" : : "r"(GUEST_DATA_SELECTOR));
        asm volatile(".rept 4000; sti; .endr; cli");
    }
}

/*
 * #DB whose delivery raises #DB, for ever (CVE-2015-8104): a breakpoint on the stack that its gate
 * switches to. The guest's TR has base 0, so that IST1 is at 24H. Nothing of the guest ever runs again.
 */
static void debug_exceptions(void) {
    enum { IST1 = 0x24, LOCAL_0_WRITE_8 = 0x90401 };
    static uint64_t stack[64] __attribute__((aligned(16)));
    uint64_t *top = &stack[64], *watched = top - 1;
    asm volatile("mov %0, (%1)" : : "r"(top), "r"((uint64_t)IST1) : "memory");
    interrupts_idt[VECTOR_DEBUG].ist = 1;
    asm volatile("mov %0, %%dr0; mov %1, %%dr7\n\t"
                 "movq $0, (%0)"
                 :
                 : "r"(watched), "r"((uint64_t)LOCAL_0_WRITE_8)
                 : "memory");
}

static void nothing(struct interrupt_frame *frame) {
    (void)frame;
}

/* Halts with an interrupt waiting already, so no slice of its ever comes to its end. For ever. */
static void halts(void) {
    interrupts_handle(VECTOR, nothing);
    for (;;) {
        hypercall(HYPERCALL_INTERRUPT, VECTOR, 0);
        asm volatile("sti; hlt; cli");
    }
}

static const struct act acts[] = {
    {"interrupts", interrupts},
    {"all-vectors", all_vectors},
    {"nmis", nmis},
    {"timers", timers},
    {"int-in-its-handler", int_in_its_handler},
    {"single-steps", single_steps},
    {"page-faults", faults},
    {"shadows", shadows},
    {"debug-exceptions", debug_exceptions},
    {"halts", halts},
};

int guest_main(void) {
    interrupts_start();
    start = rdtsc();
    return commit(acts, sizeof acts / sizeof acts[0]);
}
