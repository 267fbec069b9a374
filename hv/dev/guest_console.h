/* What a guest prints, put together to whole lines. */
#pragma once

#include <stdint.h>

enum { GUEST_LINE_SIZE = 256 };

struct guest_console {
    const char *name;
    char line[GUEST_LINE_SIZE];
    unsigned length;
};

void guest_console_put(struct guest_console *console, uint8_t byte);

/* Prints what the guest wrote since its last line end. */
void guest_console_flush(struct guest_console *console);
