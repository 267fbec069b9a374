// Bochs 2.7 sets its mask for external interrupts by RFLAGS.IF before it marks the entry to a guest as
// done. In a guest that is entered with IF = 0, "external-interrupt exiting" then has no effect, until
// something changes IF (SDM 3C 26.2: with that control, IF masks nothing). A guest that neither exits
// nor touches IF would keep the processor for ever, so what no flag can mask has to end its turn: the
// PIT, which Linux leaves alone once it has the local APIC's timer, sends NMIs through the I/O APIC.
// KVM takes an exit for each; Linux finds no reason for it, says so where nobody reads it, and goes on
// with the interrupts that are pending.

#include "nudge.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    PIT_COMMAND = 0x43,
    PIT_COUNTER_0 = 0x40,
    PIT_RATE_GENERATOR = 0x34, // counter 0, low byte then high byte, mode 2
    PIT_HZ = 1193182,
    NUDGES_PER_SECOND = 100, // of emulated time
    IOAPIC_SELECT = 0x00 / 4,
    IOAPIC_WINDOW = 0x10 / 4,
    IOAPIC_TIMER_ENTRY = 0x10 + 2 * 2, // the timer's IRQ 0 is input 2, as the ROM's MADT says
    DELIVER_NMI = 4 << 8,              // edge-triggered, to a physical destination, not masked
};

#define IOAPIC_BASE 0xFEC00000

// Linux has a line for each NMI that it can't explain, of the highest urgency.
static int silence(void) {
    int file = open("/proc/sys/kernel/printk", O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    int result = write(file, "0", 1) == 1 ? 0 : -1;
    close(file);
    return result;
}

int nudge_start(void) {
    int memory = open("/dev/mem", O_RDWR | O_CLOEXEC);
    if (memory < 0 || silence() || iopl(3))
        return -1;
    volatile uint32_t *ioapic =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, IOAPIC_BASE);
    close(memory);
    if (ioapic == MAP_FAILED)
        return -1;
    ioapic[IOAPIC_SELECT] = IOAPIC_TIMER_ENTRY + 1;
    ioapic[IOAPIC_WINDOW] = 0; // to the processor with APIC ID 0
    ioapic[IOAPIC_SELECT] = IOAPIC_TIMER_ENTRY;
    ioapic[IOAPIC_WINDOW] = DELIVER_NMI;
    outb(PIT_RATE_GENERATOR, PIT_COMMAND);
    outb(PIT_HZ / NUDGES_PER_SECOND & 0xff, PIT_COUNTER_0);
    outb(PIT_HZ / NUDGES_PER_SECOND >> 8, PIT_COUNTER_0);
    return 0;
}
