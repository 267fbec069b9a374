/* What people see on COM1: whole lines, and one guest's bytes as they are, with lines in between. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "core/console.h"
#include "core/serial.h"
#include "core/time.h"
#include "dev/guest_console.h"

static char screen[1 << 16];
static size_t written;

void serial_open(enum serial_port port) {
    (void)port;
}

void serial_write(enum serial_port port, const char *text, size_t length) {
    expect(port == SERIAL_COM1 && written + length < sizeof screen);
    memcpy(screen + written, text, length);
    written += length;
}

uint64_t time_microseconds(void) {
    return 1000002;
}

/* Has exactly this been written since the last time? */
static bool shows(const char *text) {
    bool same = written == strlen(text) && memcmp(screen, text, written) == 0;
    written = 0;
    return same;
}

static void put(struct guest_console *console, const char *text) {
    for (; *text; text++) {
        guest_console_put(console, (uint8_t)*text);
    }
}

void check_lines_are_whole_prefixed_and_harmless(void) {
    struct guest_console a = {.name = "a"}, b = {.name = "b"};
    put(&a, "one");
    put(&b, "two\r\n");
    expect(shows("b| two\r\n"));
    put(&a, " more\x1b[2J\n\n");
    expect(shows("a| one more?[2J\r\na| \r\n"));
    put(&a, "rest");
    expect(shows(""));
    guest_console_flush(&a);
    guest_console_flush(&b);
    expect(shows("a| rest\r\n"));
}

void check_a_long_line_is_cut_but_a_full_one_is_not(void) {
    struct guest_console a = {.name = "a"};
    char line[UNFINISHED_SIZE + 1] = "", wanted[UNFINISHED_SIZE + 16];
    memset(line, 'x', UNFINISHED_SIZE);
    put(&a, line);
    put(&a, "\n");
    sprintf(wanted, "a| %s\r\n", line);
    expect(shows(wanted));
    put(&a, line);
    put(&a, "y\n");
    sprintf(wanted, "a| %s\r\na| y\r\n", line);
    expect(shows(wanted));
}

void check_the_foreground_s_bytes_go_out_as_they_are_and_at_once(void) {
    struct guest_console a = {.name = "a"};
    foreground_give(&a.line);
    put(&a, "\x1b[2J$ l");
    expect(shows("\x1b[2J$ l"));
    put(&a, "s\r\nfile\r\n");
    expect(shows("s\r\nfile\r\n"));
    guest_console_flush(&a);
    expect(shows(""));
    put(&a, "$ ");
    expect(shows("$ "));
    guest_console_flush(&a);
    expect(shows("\r\n"));
}

void check_others_lines_come_between_whole_and_the_unfinished_one_is_shown_again(void) {
    struct guest_console a = {.name = "a"}, b = {.name = "b"};
    foreground_give(&a.line);
    print("vm", "at the margin");
    expect(shows("[    1.000002] vm: at the margin\r\n"));
    put(&a, "done\n$ \x1b[31mab");
    written = 0;
    put(&b, "half");
    expect(shows(""));
    put(&b, " line\n");
    expect(shows("\r\nb| half line\r\n$ \x1b[31mab"));
    put(&a, "c\r");
    put(&a, "new");
    written = 0;
    print("vm", "x");
    expect(shows("\r\n[    1.000002] vm: x\r\nnew"));
}

void check_of_a_foreground_line_without_end_the_newest_part_is_kept(void) {
    struct guest_console a = {.name = "a"};
    foreground_give(&a.line);
    for (unsigned i = 0; i < 10 * UNFINISHED_SIZE - 100; i++) {
        put(&a, "x");
        expect(a.line.length > 0 && a.line.length <= UNFINISHED_SIZE);
    }
    put(&a, "end");
    written = 0;
    print("vm", "x");
    screen[written] = '\0';
    expect(written < 2 * UNFINISHED_SIZE && strcmp(screen + written - 4, "xend") == 0);
}

void check_who_loses_the_foreground_finishes_a_whole_line_and_who_gets_it_shows_his(void) {
    struct guest_console a = {.name = "a"}, b = {.name = "b"};
    put(&b, "b's ");
    foreground_give(&a.line);
    put(&a, "a's ");
    expect(shows("a's "));
    foreground_give(&b.line);
    expect(shows("\r\nb's "));
    put(&a, "line\n");
    expect(shows("\r\na| a's line\r\nb's "));
    put(&b, "line\n");
    expect(shows("line\n"));
    foreground_give(NULL);
    put(&b, "more\n");
    expect(shows("b| more\r\n"));
}
