/* The end that says why: a line on the console, a record with a stack trace, then power-off. */
#pragma once

#include <stdnoreturn.h>

noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));
