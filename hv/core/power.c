#include "core/power.h"

#include <stdbool.h>

#include "core/commands.h"
#include "core/records.h"
#include "core/serial.h"
#include "core/time.h"
#include "cpu/port.h"

enum {
    QEMU_DEBUG_EXIT = 0xf4,  /* -device isa-debug-exit: QEMU ends with (code << 1) | 1 */
    BOCHS_SHUTDOWN = 0x8900, /* the word "Shutdown" ends Bochs */
    BOCHS_DEBUG = 0x8a00,    /* Bochs's iodebug device: commands to its debugger */
    PVPANIC = 0x505,         /* -device pvpanic (QEMU, docs/specs/pvpanic): events, bit by bit */
};
enum { DEBUG_ENABLE = 0x8a00, DEBUG_STOP = 0x8ae0 };
enum { PVPANIC_PANICKED = 1, PVPANIC_EVENTS = 0xff };

/* Where Bochs has its debugger, the machine stops in it, with everything still there to be read. */
static void stop_in_debugger(void) {
    outw(BOCHS_DEBUG, DEBUG_ENABLE);
    outw(BOCHS_DEBUG, DEBUG_STOP);
}

/* Where a debugger may be at hand it is told before the power goes: QEMU then keeps the machine as it
 * is. The port reads as the events that the device takes; as all ones where there is none. */
static void tell_of_panic(void) {
    uint8_t events = inb(PVPANIC);
    if (events != PVPANIC_EVENTS && events & PVPANIC_PANICKED) {
        outb(PVPANIC, PVPANIC_PANICKED);
    }
}

noreturn void power_off(enum power_code code) {
    serial_drain(SERIAL_COM1);
    serial_drain(SERIAL_COM2);
    if (code == POWER_PANIC) {
        tell_of_panic();
    }
    stop_in_debugger();
    outb(QEMU_DEBUG_EXIT, (uint8_t)code);
    for (const char *word = "Shutdown"; *word; word++) {
        outb(BOCHS_SHUTDOWN, (uint8_t)*word);
    }
    for (;;) { /* real hardware: stay, with all output written */
        asm volatile("cli; hlt");
    }
}

static bool waits;

void power_wait_at_end(void) {
    waits = true;
}

void power_release(void) {
    waits = false;
}

static void wait_to_be_released(void) {
    enum { PATIENCE_SECONDS = 60 }; /* at Bochs's pace four of the host's */
    uint64_t end = time_microseconds() + PATIENCE_SECONDS * 1000000ull;
    while (waits && time_microseconds() < end) {
        commands_poll();
    }
}

noreturn void power_off_with_record(const char *status, enum power_code code) {
    record_begin("done");
    record_text("status", status);
    record_number("code", code);
    if (waits) {
        record_flag("waits", true);
    }
    record_end();
    wait_to_be_released();
    power_off(code);
}
