#include "core/foreground.h"

#include "core/serial.h"

static struct unfinished *current;
static bool at_margin = true; /* nothing stands on the screen's last line */

static void show(const char *text, size_t length) {
    serial_write(SERIAL_COM1, text, length);
}

void foreground_break_off(void) {
    if (!at_margin) {
        show("\r\n", 2);
        at_margin = true;
    }
}

void foreground_go_on(void) {
    if (current) {
        show(current->text, current->length);
        at_margin = !current->length;
    }
}

void foreground_give(struct unfinished *line) {
    foreground_break_off();
    current = line;
    foreground_go_on();
}

bool foreground_is(const struct unfinished *line) {
    return current == line;
}

void foreground_end_line(void) {
    foreground_break_off();
    current->length = 0;
}

void foreground_put(char byte) {
    show(&byte, 1);
    at_margin = byte == '\n';
    /* A carriage return begins the line anew; of one that grows too long the newest part is kept. */
    if (byte == '\n' || byte == '\r' || current->length == UNFINISHED_SIZE) {
        current->length = 0;
    }
    if (byte != '\n' && byte != '\r') {
        current->text[current->length++] = byte;
    }
}
