#include "core/panic.h"

#include <stdbool.h>
#include <stdint.h>

#include "core/console.h"
#include "core/format.h"
#include "core/power.h"
#include "core/records.h"
#include "core/stack.h"

noreturn void panic(const char *format_text, ...) {
    static bool panicking;
    if (panicking) {
        power_off(POWER_PANIC); /* the reporting itself is broken: don't go round */
    }
    panicking = true;

    char message[256];
    va_list arguments;
    va_start(arguments, format_text);
    format_list(message, sizeof message, format_text, arguments);
    va_end(arguments);

    print("panic", "%s", message);
    record_begin("panic");
    record_text("message", message);
    record_hex("rip", (uint64_t)__builtin_return_address(0));
    stack_record((uint64_t)__builtin_frame_address(0));
    record_end();
    power_off_with_record("panic", POWER_PANIC);
}
