/*
 * Interrupts, NMIs and software interrupts arrive at the instruction at which a processor delivers
 * them: in shadows, while blocked, with several waiting.
 */
#include "guests/checks.h"
#include "guests/interrupts.h"

enum { LOW_VECTOR = 0x40, MIDDLE_VECTOR = 0x60, HIGH_VECTOR = 0x80 };

/* What arrived, in order. */
enum { MOST_ARRIVALS = 32 };
static volatile struct arrival {
    uint64_t vector, rip;
} arrivals[MOST_ARRIVALS];
static volatile unsigned count;

static void note(struct interrupt_frame *frame) {
    if (count < MOST_ARRIVALS) {
        arrivals[count].vector = frame->vector;
        arrivals[count].rip = frame->rip;
        count++;
    }
}

static bool arrived(unsigned index, unsigned vector, const char *at) {
    return index < count && arrivals[index].vector == vector && arrivals[index].rip == (uint64_t)at;
}

/* Assembly below marks where an event must arrive with labels that C can see. */
#define MARK(name) ".globl " #name "\n" #name ": "

extern const char raised_on[], raised_off[], after_sti[], after_sti_nop[], after_mov_ss[],
    after_mov_ss_nop[], after_popf[], halted[], after_halt[];

static void interrupts(void) {
    count = 0;
    asm volatile("sti; nop\n" HYPERCALL_INSTRUCTION MARK(raised_on) "cli"
                 :
                 : "a"(HYPERCALL_INTERRUPT), "D"(LOW_VECTOR)
                 : "memory");
    check("an interrupt arrives at once where RFLAGS.IF is 1",
          count == 1 && arrived(0, LOW_VECTOR, raised_on));

    count = 0;
    hypercall(HYPERCALL_INTERRUPT, LOW_VECTOR, 0);
    asm volatile("nop; nop" : : : "memory");
    check("an interrupt waits while RFLAGS.IF is 0", count == 0);
    asm volatile("sti\n" MARK(after_sti) "nop\n" MARK(after_sti_nop) "nop; cli" : : : "memory");
    check("it comes after the instruction that follows STI",
          count == 1 && arrived(0, LOW_VECTOR, after_sti_nop));

    count = 0;
    hypercall(HYPERCALL_INTERRUPT, LOW_VECTOR, 0);
    asm volatile("sti; cli; nop; nop" : : : "memory");
    check("STI and CLI let nothing in between", count == 0);
    asm volatile("pushfq; orq $0x200, (%%rsp); popfq\n" MARK(after_popf) "nop; cli" : : : "memory");
    check("POPF casts no shadow", count == 1 && arrived(0, LOW_VECTOR, after_popf));

    count = 0;
    hypercall(HYPERCALL_INTERRUPT, LOW_VECTOR, 0);
    asm volatile(
        "mov %%ss, %%eax\n"
        "sti; mov %%eax, %%ss\n" MARK(after_mov_ss) "nop\n" MARK(after_mov_ss_nop) "nop; cli"
        :
        :
        : "rax", "memory");
    check("it comes after the instruction that follows MOV SS",
          count == 1 && arrived(0, LOW_VECTOR, after_mov_ss_nop));

    count = 0;
    hypercall(HYPERCALL_INTERRUPT, LOW_VECTOR, 0);
    asm volatile("sti\n" MARK(halted) "hlt\n" MARK(after_halt) "cli" : : : "memory");
    check("STI and HLT wake by an interrupt that waits, after HLT",
          count == 1 && arrived(0, LOW_VECTOR, after_halt));

    count = 0;
    hypercall(HYPERCALL_INTERRUPT, LOW_VECTOR, 0);
    hypercall(HYPERCALL_INTERRUPT, HIGH_VECTOR, 0);
    hypercall(HYPERCALL_INTERRUPT, MIDDLE_VECTOR, 0);
    hypercall(HYPERCALL_INTERRUPT, HIGH_VECTOR, 0);
    asm volatile("sti; nop; nop; nop; cli" : : : "memory");
    check("of several the highest vector comes first, each once",
          count == 3 && arrivals[0].vector == HIGH_VECTOR && arrivals[1].vector == MIDDLE_VECTOR &&
              arrivals[2].vector == LOW_VECTOR);

    count = 0;
    for (unsigned vector = 32; vector < VECTOR_COUNT; vector++) {
        interrupts_handle(vector, note);
        hypercall(HYPERCALL_INTERRUPT, vector, 0);
    }
    asm volatile("sti; nop; nop; cli" : : : "memory");
    bool in_order = count == MOST_ARRIVALS;
    for (unsigned i = 0; i < count; i++) {
        in_order &= arrivals[i].vector == VECTOR_COUNT - 1 - i;
    }
    check("all vectors can wait together", in_order);
    check("vectors of exceptions are refused",
          hypercall(HYPERCALL_INTERRUPT, 31, 0) == HYPERCALL_BAD_ARGUMENT &&
              hypercall(HYPERCALL_INTERRUPT, 256, 0) == HYPERCALL_BAD_ARGUMENT &&
              hypercall(HYPERCALL_INTERRUPT, 0x100000040, 0) == HYPERCALL_BAD_ARGUMENT);
}

static volatile unsigned nmi_depth, nmi_deepest, nmis_left;

static void on_nmi(struct interrupt_frame *frame) {
    note(frame);
    nmi_depth++;
    nmi_deepest = nmi_depth > nmi_deepest ? nmi_depth : nmi_deepest;
    if (nmis_left) {
        nmis_left--;
        hypercall(HYPERCALL_NMI, 0, 0);
        asm volatile("nop; nop" : : : "memory");
    }
    nmi_depth--;
}

/* An IRET from anything at all ends the blocking of NMIs (SDM 3A 6.7.1). */
static void on_nmi_with_a_breakpoint_inside(struct interrupt_frame *frame) {
    note(frame);
    if (nmis_left) {
        nmis_left--;
        hypercall(HYPERCALL_NMI, 0, 0);
        asm volatile("int3" : : : "memory");
        note(&(struct interrupt_frame){.vector = 0xff});
    }
}

extern const char after_nmi[], after_nmi_and_interrupt[];

static void nmis(void) {
    count = 0;
    interrupts_handle(VECTOR_NMI, on_nmi);
    asm volatile(HYPERCALL_INSTRUCTION MARK(after_nmi) "nop" : : "a"(HYPERCALL_NMI) : "memory");
    check("an NMI arrives although RFLAGS.IF is 0",
          count == 1 && arrived(0, VECTOR_NMI, after_nmi));

    count = 0;
    nmis_left = 2;
    hypercall(HYPERCALL_NMI, 0, 0);
    check("NMIs wait until IRET", count == 3 && nmi_deepest == 1);

    count = 0;
    nmis_left = 1;
    interrupts_handle(VECTOR_NMI, on_nmi_with_a_breakpoint_inside);
    interrupts_handle(VECTOR_BREAKPOINT, note);
    hypercall(HYPERCALL_NMI, 0, 0);
    check("any IRET lets the next NMI in", count == 4 && arrivals[0].vector == VECTOR_NMI &&
                                               arrivals[1].vector == VECTOR_BREAKPOINT &&
                                               arrivals[2].vector == VECTOR_NMI &&
                                               arrivals[3].vector == 0xff);

    count = 0;
    nmis_left = 1; /* the first NMI raises the second: its window is asked for with interrupts on */
    interrupts_handle(VECTOR_NMI, on_nmi);
    hypercall(HYPERCALL_INTERRUPT, LOW_VECTOR, 0);
    asm volatile(HYPERCALL_INSTRUCTION MARK(after_nmi_and_interrupt) "sti; nop; nop; cli"
                 :
                 : "a"(HYPERCALL_NMI)
                 : "memory");
    check("an NMI goes before an interrupt",
          count == 3 && arrived(0, VECTOR_NMI, after_nmi_and_interrupt) &&
              arrivals[1].vector == VECTOR_NMI && arrivals[2].vector == LOW_VECTOR);
}

extern const char software_40[], after_software_40[], software_3[], after_software_3[],
    after_software_1[];

/* INT1 on a processor that has none is #UD: then it is stepped over. */
static void skip_int1(struct interrupt_frame *frame) {
    note(frame);
    frame->rip++;
}

static void software_events(void) {
    count = 0;
    interrupts_handle(VECTOR_BREAKPOINT, note);
    interrupts_handle(VECTOR_DEBUG, note);
    interrupts_handle(VECTOR_INVALID_OPCODE, skip_int1);
    asm volatile(MARK(software_40) "int $0x40\n" MARK(after_software_40)
                     MARK(software_3) "int3\n" MARK(after_software_3) ".byte 0xf1\n" MARK(
                         after_software_1) "nop"
                 :
                 :
                 : "memory");
    check("INT n, INT3 and INT1 go to their vectors and return behind themselves",
          count == 3 && arrived(0, LOW_VECTOR, after_software_40) &&
              arrived(1, VECTOR_BREAKPOINT, after_software_3) &&
              arrived(2, VECTOR_DEBUG, after_software_1));
}

int guest_main(void) {
    interrupts_start();
    interrupts_handle(LOW_VECTOR, note);
    interrupts_handle(MIDDLE_VECTOR, note);
    interrupts_handle(HIGH_VECTOR, note);
    interrupts();
    nmis();
    software_events();
    return checks_done();
}
