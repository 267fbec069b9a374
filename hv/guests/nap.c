/*
 * Sleeps in HLT, by default ten times, until the paravirtual timer wakes it, then works for a while, so that it is
 * both woken by time and pre-empted. Reports how late it woke at worst, in TSC ticks.
 */
#include "cpu/port.h"

#include "guests/interrupts.h"
#include "guests/parameter.h"
#include "guests/runtime.h"

enum { VECTOR = 40, TOTAL_TICKS = 1000000, WORK_TICKS = 30000 };

/* How long a nap takes, in TSC ticks. */
volatile struct parameter parameter = {PARAMETER_MARK, {.value = 100000}};

static volatile unsigned woken;

static void wake(struct interrupt_frame *frame) {
    (void)frame;
    woken++;
}

int guest_main(void) {
    interrupts_start();
    interrupts_handle(VECTOR, wake);
    uint64_t latest = 0;
    unsigned naps = parameter.value < TOTAL_TICKS ? (unsigned)(TOTAL_TICKS / parameter.value) : 1;
    for (unsigned i = 0; i < naps; i++) {
        uint64_t due = rdtsc() + parameter.value;
        hypercall(HYPERCALL_TIMER, parameter.value, VECTOR);
        asm volatile("sti; hlt; cli" : : : "memory");
        uint64_t late = rdtsc() - due;
        latest = late > latest ? late : latest;
        for (uint64_t start = rdtsc(); rdtsc() - start < WORK_TICKS;) {
        }
    }
    report(woken == naps, latest);
    return woken == naps ? 0 : 1;
}
