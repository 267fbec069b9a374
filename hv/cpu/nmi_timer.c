#include "cpu/nmi_timer.h"

#include "core/nmi.h"
#include "core/time.h"
#include "cpu/port.h"

enum {
    PIT_COUNTER_0 = 0x40,
    PIT_COMMAND = 0x43,
    COUNTER_0_MODE_0 = 0x30, /* low then high byte, output rises on terminal count */
    LATCH_STATUS_0 = 0xe2,   /* read back */
    STATUS_OUTPUT = 0x80,
    LONGEST = 0xffff,
};

/* 82093AA: an index and a data register. On PCs the 8254's interrupt arrives at pin 2. */
enum {
    IOAPIC_INDEX = 0,
    IOAPIC_DATA = 0x10,
    REDIRECTION = 0x10 + 2 * 2,
    DELIVER_NMI = 4 << 8, /* edge, to APIC ID 0 */
    MASKED = 1 << 16,
};
static volatile uint32_t *const ioapic = (volatile uint32_t *)0xfec00000;

static volatile uint64_t armed; /* for which TSC time; 0: it is not */

static void write_ioapic(unsigned which, uint32_t value) {
    ioapic[IOAPIC_INDEX] = which;
    ioapic[IOAPIC_DATA / 4] = value;
}

static void count_down(unsigned ticks) {
    outb(PIT_COMMAND, COUNTER_0_MODE_0);
    outb(PIT_COUNTER_0, ticks & 0xff);
    outb(PIT_COUNTER_0, (uint8_t)(ticks >> 8));
}

static bool is_ours(void) {
    outb(PIT_COMMAND, LATCH_STATUS_0);
    bool ended = inb(PIT_COUNTER_0) & STATUS_OUTPUT;
    if (!armed || !ended) {
        return false;
    }
    armed = 0;
    return true;
}

void nmi_timer_start(void) {
    write_ioapic(REDIRECTION + 1, 0);
    write_ioapic(REDIRECTION, DELIVER_NMI);
    nmi_claim = is_ours;
}

void nmi_timer_stop(void) {
    write_ioapic(REDIRECTION, MASKED);
    armed = 0;
    nmi_claim = 0;
}

void nmi_timer_set(uint64_t deadline) {
    if (deadline == armed) {
        return;
    }
    uint64_t now = rdtsc(), left = deadline > now ? deadline - now : 0;
    uint64_t ticks = left * TIME_PIT_HZ / time_tsc_hz() + 1;
    armed = deadline; /* what is cut short comes early: whoever asked looks at the time */
    count_down(ticks > LONGEST ? LONGEST : (unsigned)ticks);
}
