/* printf-style formatting without a C library. Compiles on the host too, for its unit tests. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

/*
 * Writes at most size - 1 characters and a terminating zero. Understands %% %c %s %d %u %x with the
 * flag 0, a width, .* for %s, and the length modifiers l and z; anything else is copied as it stands.
 * Returns the length written, without the zero.
 */
size_t format_list(char *to, size_t size, const char *format, va_list arguments);
size_t format(char *to, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
