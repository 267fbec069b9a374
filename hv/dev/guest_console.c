#include "dev/guest_console.h"

#include "core/console.h"

static void end_line(struct guest_console *console) {
    console_guest_line(console->name, console->line.text, console->line.length);
    console->line.length = 0;
}

void guest_console_flush(struct guest_console *console) {
    if (foreground_is(&console->line)) {
        foreground_end_line();
    } else if (console->line.length) {
        end_line(console);
    }
}

void guest_console_put(struct guest_console *console, uint8_t byte) {
    struct unfinished *line = &console->line;
    if (foreground_is(line)) {
        foreground_put((char)byte);
    } else if (byte == '\n') {
        end_line(console); /* an empty line is output too */
    } else if (byte != '\r') {
        if (line->length == UNFINISHED_SIZE) {
            end_line(console);
        }
        line->text[line->length++] = (char)byte;
    }
}
