/* What a guest prints, put together to whole lines; as it is while it has the foreground. */
#pragma once

#include <stdint.h>

#include "core/foreground.h"

struct guest_console {
    const char *name;
    struct unfinished line;
};

void guest_console_put(struct guest_console *console, uint8_t byte);

/* Prints what the guest wrote since its last line end. */
void guest_console_flush(struct guest_console *console);
