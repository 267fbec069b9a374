#include "core/calendar.h"

#include <stdbool.h>

/* Days are counted in eras of 400 years, and years from March: then the leap day is a year's last. */
enum { ERA_DAYS = 146097, ERA_YEARS = 400, DAYS_BEFORE_1970 = 719468 };

static int64_t divide_down(int64_t value, int64_t by) {
    return value / by - (value % by < 0);
}

/* Of a year that begins in March, the days before a month, counted from 0. */
static int64_t days_before_month(int64_t month) {
    return (153 * month + 2) / 5;
}

static int64_t days_before_year(int64_t year) {
    return year * 365 + year / 4 - year / 100; /* within an era */
}

int64_t calendar_seconds(const struct calendar *calendar) {
    int64_t month = (calendar->month + 9) % 12;
    int64_t year = calendar->year - (calendar->month <= 2);
    int64_t era = divide_down(year, ERA_YEARS);
    int64_t days = era * ERA_DAYS + days_before_year(year - era * ERA_YEARS) +
                   days_before_month(month) + calendar->day - 1 - DAYS_BEFORE_1970;
    return days * SECONDS_OF_DAY + calendar->hour * 3600 + calendar->minute * 60 + calendar->second;
}

struct calendar calendar_at(int64_t seconds) {
    int64_t days = divide_down(seconds, SECONDS_OF_DAY);
    int second = (int)(seconds - days * SECONDS_OF_DAY);
    days += DAYS_BEFORE_1970;
    int64_t era = divide_down(days, ERA_DAYS), rest = days - era * ERA_DAYS;
    /* Every 4th year has a day more, every 100th not, every 400th does. */
    int64_t year = (rest - rest / 1460 + rest / 36524 - rest / (ERA_DAYS - 1)) / 365;
    rest -= days_before_year(year);
    int64_t month = (5 * rest + 2) / 153;
    int day = (int)(rest - days_before_month(month)) + 1;
    bool next_year = month >= 10;
    return (struct calendar){.year = (int)(era * ERA_YEARS + year + next_year),
                             .month = (int)(month + 3 - (next_year ? 12 : 0)),
                             .day = day,
                             .hour = second / 3600,
                             .minute = second / 60 % 60,
                             .second = second % 60};
}
