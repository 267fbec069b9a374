/* COM1, for people: `[    0.001234] area: text`, one whole line at a time. */
#pragma once

#include <stddef.h>

void console_open(void);

/* One line of the hypervisor's own. */
void print(const char *area, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One line of a guest's: `name| text`. Bytes that could steer a terminal come out as '?'. */
void console_guest_line(const char *name, const char *text, size_t length);
