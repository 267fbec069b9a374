#include "core/power.h"

#include "core/pci.h"
#include "core/records.h"
#include "core/serial.h"
#include "cpu/port.h"

enum {
    QEMU_DEBUG_EXIT = 0xf4,  /* -device isa-debug-exit: QEMU ends with (code << 1) | 1 */
    BOCHS_SHUTDOWN = 0x8900, /* the word "Shutdown" ends Bochs */
    BOCHS_DEBUG = 0x8a00,    /* Bochs's iodebug device: commands to its debugger */
    PVPANIC = 0x505,         /* -device pvpanic (QEMU, docs/specs/pvpanic): events, bit by bit */
};
enum { DEBUG_ENABLE = 0x8a00, DEBUG_STOP = 0x8ae0 };
enum { PVPANIC_PANICKED = 1, PVPANIC_EVENTS = 0xff };

static noreturn void stay(void) {
    for (;;) {
        asm volatile("cli; hlt");
    }
}

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

/* Turns the power off by ACPI as QEMU's machine q35 has it: in the chipset's LPC bridge (Intel ICH9,
 * 13.1.13 PMBASE, 13.1.14 ACPI_CNTL, 13.8.3.3 PM1_CNT), with a sleep type of its own for "off". Unlike
 * isa-debug-exit this does not end QEMU, which may keep the machine to be looked at. */
static void power_off_by_acpi(void) {
    enum { QEMU = 0x11001af4, ICH9_LPC = 0x29188086 }; /* subsystem; device and vendor */
    enum { ID = 0x00, SUBSYSTEM = 0x2c, PMBASE = 0x40, ACPI_CNTL = 0x44 };
    enum { PMBASE_MASK = 0xff80, ACPI_EN = 1 << 7 };
    enum { PM1_CNT = 4, SLP_TYP_OFF = 0 << 10, SLP_EN = 1 << 13 };
    static const struct pci_function lpc = {.bus = 0, .device = 0x1f, .function = 0};
    if (pci_read(&lpc, ID) != ICH9_LPC || pci_read(&lpc, SUBSYSTEM) != QEMU ||
        !(pci_read(&lpc, ACPI_CNTL) & ACPI_EN)) {
        return;
    }
    outw((uint16_t)((pci_read(&lpc, PMBASE) & PMBASE_MASK) + PM1_CNT), SLP_TYP_OFF | SLP_EN);
    stay(); /* QEMU takes a moment to hear of it */
}

void power_freeze(void) {
    serial_drain(SERIAL_COM1);
    serial_drain(SERIAL_COM2);
    tell_of_panic();
    stop_in_debugger();
}

noreturn void power_off(enum power_code code) {
    serial_drain(SERIAL_COM1);
    serial_drain(SERIAL_COM2);
    if (code == POWER_PANIC) {
        tell_of_panic();
    }
    stop_in_debugger();
    power_off_by_acpi();
    outb(QEMU_DEBUG_EXIT, (uint8_t)code);
    for (const char *word = "Shutdown"; *word; word++) {
        outb(BOCHS_SHUTDOWN, (uint8_t)*word);
    }
    stay(); /* real hardware: with all output written */
}

noreturn void power_off_with_record(const char *status, enum power_code code) {
    record_begin("done");
    record_text("status", status);
    record_number("code", code);
    record_end();
    power_off(code);
}
