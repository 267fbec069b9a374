#include "dev/guest_console.h"

#include "core/console.h"

static void end_line(struct guest_console *console) {
    console_guest_line(console->name, console->line, console->length);
    console->length = 0;
}

void guest_console_flush(struct guest_console *console) {
    if (console->length) {
        end_line(console);
    }
}

void guest_console_put(struct guest_console *console, uint8_t byte) {
    if (byte == '\n') {
        end_line(console); /* an empty line is output too */
    } else if (byte != '\r') {
        console->line[console->length++] = (char)byte;
        if (console->length == GUEST_LINE_SIZE) {
            end_line(console);
        }
    }
}
