#include "core/refuse.h"

#include "core/console.h"
#include "core/format.h"
#include "core/power.h"
#include "core/records.h"

noreturn void refuse(const char *reason, const char *format_text, ...) {
    char message[256];
    va_list arguments;
    va_start(arguments, format_text);
    format_list(message, sizeof message, format_text, arguments);
    va_end(arguments);

    print("refused", "%s", message);
    record_begin("refused");
    record_text("reason", reason);
    record_text("message", message);
    record_end();
    power_off_with_record("refused", POWER_REFUSED);
}
