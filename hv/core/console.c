#include "core/console.h"

#include "core/format.h"
#include "core/serial.h"
#include "core/time.h"

enum { LINE_SIZE = 512 };

void console_open(void) {
    serial_open(SERIAL_COM1);
}

void print(const char *area, const char *format_text, ...) {
    char line[LINE_SIZE];
    uint64_t now = time_microseconds();
    size_t length =
        format(line, sizeof line - 2, "[%5lu.%06lu] %s: ", now / 1000000, now % 1000000, area);
    va_list arguments;
    va_start(arguments, format_text);
    length += format_list(line + length, sizeof line - 2 - length, format_text, arguments);
    va_end(arguments);
    line[length++] = '\r';
    line[length++] = '\n';
    serial_write(SERIAL_COM1, line, length);
}

void console_guest_line(const char *name, const char *text, size_t length) {
    char line[LINE_SIZE];
    size_t at = format(line, sizeof line - 2, "%s| ", name);
    for (size_t i = 0; i < length && at < sizeof line - 2; i++) {
        unsigned char c = (unsigned char)text[i];
        /* Control characters would let a guest write over another's lines. UTF-8 may pass. */
        line[at++] = (c >= 0x20 && c != 0x7f) || c == '\t' ? text[i] : '?';
    }
    line[at++] = '\r';
    line[at++] = '\n';
    serial_write(SERIAL_COM1, line, at);
}
