/*
 * Counts the 8254's interrupts against its own TSC: none may be lost, none may come in a bunch, whether
 * it works or waits in HLT, and whoever else has the processor meanwhile. The parameter is how many a
 * second. Reports by how many TSC ticks the time between two of them was wrong at worst.
 */
#include "cpu/cpuid.h"
#include "cpu/port.h"
#include "dev/pit.h"
#include "guests/checks.h"
#include "guests/interrupts.h"
#include "guests/parameter.h"

volatile struct parameter parameter = {PARAMETER_MARK, {.value = 100}};

enum { PIC = 0x20, PIC_MASK = 0x21, EOI = 0x20, VECTOR = 0x20, ALL_BUT_IRQ_0 = 0xfe, NONE = 0xff };
enum { PIT_DATA_0 = 0x40, PIT_DATA_2 = 0x42, PIT_COMMAND = 0x43, PORT_61 = 0x61 };
enum { RATE_0 = 0x34, RATE_2 = 0xb4, LATCH_2 = 0x80, LONG_ENOUGH = 40000 };

static volatile uint64_t came[64]; /* when, by the TSC */
static volatile unsigned count;
enum { MOST = sizeof came / sizeof came[0] };

/* The first one may have waited behind the mask: it does not count. */
static void on_tick(struct interrupt_frame *frame) {
    (void)frame;
    if (count >= 1 && count <= MOST) {
        came[count - 1] = rdtsc();
    }
    count++;
    outb(PIC, EOI);
}

static void start_pic(void) {
    outb(PIC, 0x11);
    outb(PIC_MASK, VECTOR);
    outb(PIC_MASK, 4);
    outb(PIC_MASK, 1);
    outb(PIC_MASK, NONE);
}

struct moment {
    uint64_t tsc, took;
    uint16_t count; /* of the 8254's channel 2, going down */
};

/* The same moment by both clocks. What comes in between makes them differ: so the best of some. */
static struct moment look(void) {
    struct moment best = {.took = UINT64_MAX};
    for (unsigned i = 0; i < 4; i++) {
        struct moment moment = {.tsc = rdtsc()};
        outb(PIT_COMMAND, LATCH_2);
        moment.took = rdtsc() - moment.tsc;
        moment.count = inb(PIT_DATA_2);
        moment.count |= (uint16_t)(inb(PIT_DATA_2) << 8);
        best = moment.took < best.took ? moment : best;
    }
    return best;
}

/* TSC ticks in so many of the 8254's. */
static uint64_t calibrate(unsigned ticks) {
    outb(PORT_61, 1);
    outb(PIT_COMMAND, RATE_2);
    outb(PIT_DATA_2, 0xff);
    outb(PIT_DATA_2, 0xff);
    struct moment first = look(), last;
    do {
        last = look();
    } while ((uint16_t)(first.count - last.count) < LONG_ENOUGH);
    return (last.tsc - first.tsc) * ticks / (uint16_t)(first.count - last.count);
}

static uint64_t distance(uint64_t a, uint64_t b) {
    return a > b ? a - b : b - a;
}

static uint64_t measure(bool halts, uint64_t period) {
    count = 0;
    outb(PIC_MASK, ALL_BUT_IRQ_0);
    while (count <= MOST) {
        if (halts) {
            asm volatile("sti; hlt; cli" : : : "memory");
        } else {
            asm volatile("sti; nop; cli" : : : "memory");
        }
    }
    outb(PIC_MASK, NONE);
    uint64_t worst = 0;
    for (unsigned i = 1; i < MOST; i++) {
        uint64_t wrong = distance(came[i] - came[i - 1], period);
        worst = wrong > worst ? wrong : worst;
    }
    check(halts ? "none is lost in HLT" : "none is lost at work",
          distance(came[MOST - 1] - came[0], (MOST - 1) * period) < period / 2);
    check(halts ? "none is late in HLT" : "none is late at work", worst < period / 2);
    return worst;
}

/* What is printed takes long, but none of the guest's time: its TSC must still only go on. */
static bool time_goes_on(void) {
    uint64_t last = rdtsc();
    bool good = true;
    for (unsigned i = 0; i < 2000; i++) {
        if (i % 100 == 0) {
            print("a line, which is as long as it may be to be written at once\n");
        }
        cpuid(0, 0);
        uint64_t now = rdtsc();
        good &= now > last;
        last = now;
    }
    return good;
}

/* Leaf 15H, where there is one: EBX / EAX times the crystal's rate, in ECX. */
static bool rate_is_told(void) {
    struct cpuid leaf = cpuid(0x15, 0);
    if (cpuid(0, 0).eax < 0x15 || !leaf.eax) {
        return true;
    }
    uint64_t told = (uint64_t)leaf.ecx * leaf.ebx / leaf.eax, found = calibrate(PIT_HZ);
    return distance(told, found) < found / 200;
}

int guest_main(void) {
    unsigned divisor = PIT_HZ / (unsigned)parameter.value;
    interrupts_start();
    interrupts_handle(VECTOR, on_tick);
    start_pic();
    uint64_t period = calibrate(divisor);
    outb(PIT_COMMAND, RATE_0);
    outb(PIT_DATA_0, divisor & 0xff);
    outb(PIT_DATA_0, (uint8_t)(divisor >> 8));
    uint64_t working = measure(false, period), waiting = measure(true, period);
    check("CPUID tells the rate of the TSC", rate_is_told());
    check("time only goes on", time_goes_on());
    report(!checks_failed, working > waiting ? working : waiting);
    return checks_failed != 0;
}
