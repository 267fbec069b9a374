/*
 * Sleeps in HLT until its timer's interrupt, then works, eight times. How long it sleeps goes by its
 * memory, so that two of them with different memory= get into each other's way.
 */
#include "cpu/port.h"
#include "guests/checks.h"
#include "guests/interrupts.h"

enum { TIMER_VECTOR = 0x40, ROUNDS = 8, WORK = 12000, TICKS_A_MEBIBYTE = 4000 };

static volatile unsigned ticks;
static volatile uint64_t interrupted_at;
extern const char after_hlt[];

static void on_timer(struct interrupt_frame *frame) {
    ticks++;
    interrupted_at = frame->rip;
}

static uint64_t memory_in_mebibytes(void) {
    return ((uint64_t)__builtin_frame_address(0) >> 20) + 1; /* the stack begins at the end */
}

/* Another round of work than sleep: it must not be taken for asleep while it works. */
static void work(void) {
    uint64_t end = rdtsc() + WORK;
    while (rdtsc() < end) {
    }
}

/* What is taken back before its time comes. Whoever runs this machine may stop it just then: so with
 * ever more time. */
static bool silent_when_taken_back(uint64_t time) {
    for (;; time *= 2) {
        uint64_t start = rdtsc();
        hypercall(HYPERCALL_TIMER, time, TIMER_VECTOR);
        hypercall(HYPERCALL_TIMER, 0, TIMER_VECTOR);
        bool in_time = rdtsc() - start < time;
        unsigned before = ticks;
        asm volatile("sti" : : : "memory");
        while (rdtsc() - start < 2 * time) {
        }
        asm volatile("cli" : : : "memory");
        if (in_time) {
            return ticks == before;
        }
    }
}

int guest_main(void) {
    uint64_t sleep = memory_in_mebibytes() * TICKS_A_MEBIBYTE;
    interrupts_start();
    interrupts_handle(TIMER_VECTOR, on_timer);
    bool one_interrupt_each = true, in_hlt = true, long_enough = true;
    for (unsigned round = 1; round <= ROUNDS; round++) {
        uint64_t start = rdtsc();
        hypercall(HYPERCALL_TIMER, sleep, TIMER_VECTOR);
        asm volatile("sti; hlt\n"
                     ".globl after_hlt\n"
                     "after_hlt: cli"
                     :
                     :
                     : "memory");
        long_enough &= rdtsc() - start >= sleep;
        one_interrupt_each &= ticks == round;
        in_hlt &= interrupted_at == (uint64_t)after_hlt;
        work();
    }
    check("each sleep ends by one interrupt", one_interrupt_each && ticks == ROUNDS);
    check("it comes in HLT, and returns after it", in_hlt);
    check("no sleep is too short", long_enough);

    check("a timer that is taken back stays silent", silent_when_taken_back(sleep));
    check("a timer's vector can't be an exception",
          hypercall(HYPERCALL_TIMER, 1, 31) == HYPERCALL_BAD_ARGUMENT &&
              hypercall(HYPERCALL_TIMER, 1, 256) == HYPERCALL_BAD_ARGUMENT);
    check("a timer's time can't wrap",
          hypercall(HYPERCALL_TIMER, ~0ull, TIMER_VECTOR) == HYPERCALL_BAD_ARGUMENT);
    return checks_done();
}
