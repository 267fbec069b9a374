/* Dates of the Gregorian calendar as seconds since 1970-01-01 00:00:00. */
#pragma once

#include <stdint.h>

enum { SECONDS_OF_DAY = 86400 };

struct calendar {
    int year, month, day; /* month and day from 1 */
    int hour, minute, second;
};

/* Fields beyond their range count on: 25 o'clock is 1 o'clock of the next day. A month must be in its
 * range. */
int64_t calendar_seconds(const struct calendar *calendar);
struct calendar calendar_at(int64_t seconds);
