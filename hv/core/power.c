#include "core/power.h"

#include "core/records.h"
#include "core/serial.h"
#include "cpu/port.h"

enum {
    QEMU_DEBUG_EXIT = 0xf4,  /* -device isa-debug-exit: QEMU ends with (code << 1) | 1 */
    BOCHS_SHUTDOWN = 0x8900, /* the word "Shutdown" ends Bochs */
    BOCHS_DEBUG = 0x8a00,    /* Bochs's iodebug device: commands to its debugger */
};
enum { DEBUG_ENABLE = 0x8a00, DEBUG_STOP = 0x8ae0 };

/* Where Bochs has its debugger, the machine stops in it, with everything still there to be read. */
static void stop_in_debugger(void) {
    outw(BOCHS_DEBUG, DEBUG_ENABLE);
    outw(BOCHS_DEBUG, DEBUG_STOP);
}

noreturn void power_off(enum power_code code) {
    serial_drain(SERIAL_COM1);
    serial_drain(SERIAL_COM2);
    stop_in_debugger();
    outb(QEMU_DEBUG_EXIT, (uint8_t)code);
    for (const char *word = "Shutdown"; *word; word++) {
        outb(BOCHS_SHUTDOWN, (uint8_t)*word);
    }
    for (;;) { /* real hardware: stay, with all output written */
        asm volatile("cli; hlt");
    }
}

noreturn void power_off_with_record(const char *status, enum power_code code) {
    record_begin("done");
    record_text("status", status);
    record_number("code", code);
    record_end();
    power_off(code);
}
