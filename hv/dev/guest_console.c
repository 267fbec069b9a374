#include "dev/guest_console.h"

#include "core/console.h"

/* PC16550D data sheet, section 8 */
enum { DATA = 0, LINE_CONTROL = 3, LINE_STATUS = 5, SCRATCH = 7 };
enum { LCR_DLAB = 0x80, LSR_READY_TO_SEND = 0x60 };

void guest_console_flush(struct guest_console *console, const char *name) {
    if (console->length) {
        console_guest_line(name, console->line, console->length);
        console->length = 0;
    }
}

static void put(struct guest_console *console, const char *name, char c) {
    if (c == '\n') {
        /* An empty line is output too. */
        console_guest_line(name, console->line, console->length);
        console->length = 0;
    } else if (c != '\r') {
        console->line[console->length++] = c;
        if (console->length == GUEST_LINE_SIZE) {
            guest_console_flush(console, name);
        }
    }
}

void guest_console_write(struct guest_console *console, const char *name, uint16_t port,
                         uint8_t value) {
    switch (port - GUEST_CONSOLE_PORT) {
    case DATA:
        if (!(console->line_control & LCR_DLAB)) { /* else it is the divisor */
            put(console, name, (char)value);
        }
        break;
    case LINE_CONTROL: console->line_control = value; break;
    case SCRATCH: console->scratch = value; break;
    default: break;
    }
}

uint8_t guest_console_read(struct guest_console *console, uint16_t port) {
    switch (port - GUEST_CONSOLE_PORT) {
    case LINE_CONTROL: return console->line_control;
    case LINE_STATUS: return LSR_READY_TO_SEND;
    case SCRATCH: return console->scratch;
    default: return 0;
    }
}
