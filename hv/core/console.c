#include "core/console.h"

#include <stdbool.h>

#include "core/foreground.h"
#include "core/format.h"
#include "core/serial.h"
#include "core/time.h"

enum { LINE_SIZE = 512 };

void console_open(void) {
    serial_open(SERIAL_COM1);
}

static void write_line(char *line, size_t length) {
    line[length++] = '\r';
    line[length++] = '\n';
    foreground_break_off();
    serial_write(SERIAL_COM1, line, length);
    foreground_go_on();
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
    write_line(line, length);
}

/* Control characters would let a guest write over another's lines. UTF-8 may pass, but not its C1
 * controls, C2 80 to C2 9F, which terminals take for escape sequences. */
static bool steers(char text, char next) {
    unsigned char c = (unsigned char)text, n = (unsigned char)next;
    return (c < 0x20 && c != '\t') || c == 0x7f || (c == 0xc2 && n >= 0x80 && n < 0xa0);
}

void console_guest_line(const char *name, const char *text, size_t length) {
    char line[LINE_SIZE];
    size_t at = format(line, sizeof line - 2, "%s| ", name);
    for (size_t i = 0; i < length && at < sizeof line - 2; i++) {
        bool last = i + 1 == length;
        line[at++] = steers(text[i], last ? '\0' : text[i + 1]) ? '?' : text[i];
    }
    write_line(line, at);
}
