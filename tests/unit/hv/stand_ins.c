/* What core/ gives the code under test, where the real thing would need the machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "core/panic.h"
#include "core/refuse.h"

static jmp_buf expected;
static bool expecting;

static noreturn void ended(const char *by, const char *format, va_list arguments) {
    printf("%s: ", by);
    vprintf(format, arguments);
    printf("\n");
    if (expecting) {
        longjmp(expected, 1);
    }
    exit(3);
}

noreturn void panic(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    ended("panic", format, arguments);
}

noreturn void refuse(const char *reason, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    ended(reason, format, arguments);
}

bool panics(void (*function)(void)) {
    expecting = true;
    if (setjmp(expected) == 0) {
        function();
        expecting = false;
        return false;
    }
    expecting = false;
    return true;
}
