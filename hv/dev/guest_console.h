/* The smallest 16550 that guests can print through: always ready to send, never anything to read. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { GUEST_CONSOLE_PORT = 0x3f8, GUEST_LINE_SIZE = 256 };

struct guest_console {
    char line[GUEST_LINE_SIZE];
    unsigned length;
    uint8_t scratch, line_control;
};

void guest_console_write(struct guest_console *console, const char *name, uint16_t port,
                         uint8_t value);
uint8_t guest_console_read(struct guest_console *console, uint16_t port);

/* Prints what the guest wrote since its last line end. */
void guest_console_flush(struct guest_console *console, const char *name);
