#include "core/wall_clock.h"

#include <stdbool.h>

#include "core/calendar.h"
#include "cpu/port.h"

/* MC146818A data sheet, "Address Map"; the century is where ACPI's FADT puts it on every PC. */
enum { INDEX = 0x70, VALUE = 0x71 };
enum { SECOND = 0, MINUTE = 2, HOUR = 4, DAY = 7, MONTH = 8, YEAR = 9, A = 10, B = 11 };
enum { CENTURY = 0x32 };
enum { A_UPDATE_IN_PROGRESS = 0x80, B_BINARY = 0x04, B_24_HOURS = 0x02, HOUR_PM = 0x80 };

/* An update takes 2 ms at most, once a second; a clock that is always in one is none. */
enum { PATIENCE = 100000 };

static uint8_t read(uint8_t address) {
    outb(INDEX, address);
    return inb(VALUE);
}

static int number(uint8_t value, bool binary) {
    return binary ? value : (value >> 4) * 10 + (value & 15);
}

static int hour(uint8_t value, uint8_t format) {
    int hours = number(value & (uint8_t)~HOUR_PM, format & B_BINARY);
    if (format & B_24_HOURS) {
        return hours;
    }
    return hours % 12 + (value & HOUR_PM ? 12 : 0);
}

static struct calendar show(void) {
    uint8_t format = read(B);
    bool binary = format & B_BINARY;
    int century = number(read(CENTURY), binary);
    bool has_century = century >= 19 && century <= 99;
    return (struct calendar){.year =
                                 (has_century ? century : 20) * 100 + number(read(YEAR), binary),
                             .month = number(read(MONTH), binary),
                             .day = number(read(DAY), binary),
                             .hour = hour(read(HOUR), format),
                             .minute = number(read(MINUTE), binary),
                             .second = number(read(SECOND), binary)};
}

static bool is_date(const struct calendar *date) {
    return date->month >= 1 && date->month <= 12 && date->day >= 1 && date->day <= 31 &&
           date->hour < 24 && date->minute < 60 && date->second < 60;
}

uint64_t wall_clock_seconds(void) {
    for (long i = 0; i < PATIENCE; i++) {
        if (read(A) & A_UPDATE_IN_PROGRESS) {
            continue;
        }
        struct calendar before = show(), date = show(); /* an update between two reads shows */
        if (!is_date(&before) || !is_date(&date)) {
            return 0;
        }
        int64_t seconds = calendar_seconds(&date);
        if (calendar_seconds(&before) == seconds) {
            return seconds > 0 ? (uint64_t)seconds : 0;
        }
    }
    return 0;
}
