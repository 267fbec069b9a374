/* dev/rtc.c and core/calendar.c against the MC146818 data sheet and the host's calendar. */
#include "dev/rtc.h"

#include <time.h>

#include "check.h"
#include "core/calendar.h"

#define HZ   2999999929ull /* a prime */
#define BOOT 1709251197ull /* 2024-02-29 23:59:57, a Thursday */

enum { A = 10, B = 11, C = 12, D = 13, CENTURY = 0x32 };
enum { SET = 0x80, PIE = 0x40, AIE = 0x20, UIE = 0x10, BINARY = 4, HOURS_24 = 2 };

static struct rtc started(void) {
    struct rtc rtc;
    rtc_start(&rtc, HZ, BOOT);
    return rtc;
}

static uint8_t get(struct rtc *rtc, uint8_t index, uint64_t now) {
    rtc_write(rtc, 0x70, index, now);
    return rtc_read(rtc, 0x71, now);
}

static void set(struct rtc *rtc, uint8_t index, uint8_t value, uint64_t now) {
    rtc_write(rtc, 0x70, index, now);
    rtc_write(rtc, 0x71, value, now);
}

static void expect_shown(struct rtc *rtc, uint64_t now, const uint8_t expected[8]) {
    static const uint8_t registers[] = {CENTURY, 9, 8, 7, 6, 4, 2, 0};
    for (unsigned i = 0; i < 8; i++) {
        expect_equal(get(rtc, registers[i], now), expected[i]);
    }
}

static uint64_t tick_time(uint64_t tick) {
    return (uint64_t)(((unsigned __int128)tick * HZ + 32767) / 32768);
}

void check_dates_are_those_of_the_hosts_calendar(void) {
    for (unsigned i = 0; i < 300000; i++) {
        int64_t seconds = (int64_t)random_below(400ull * 366 * 86400) - 100ll * 366 * 86400;
        time_t time = (time_t)seconds;
        struct tm tm;
        gmtime_r(&time, &tm);
        struct calendar calendar = calendar_at(seconds);
        expect_equal(calendar.year, tm.tm_year + 1900);
        expect_equal(calendar.month, tm.tm_mon + 1);
        expect_equal(calendar.day, tm.tm_mday);
        expect(calendar.hour == tm.tm_hour && calendar.minute == tm.tm_min &&
               calendar.second == tm.tm_sec);
        expect_equal(calendar_seconds(&calendar), seconds);
    }
}

void check_it_shows_the_time_of_boot_and_goes_on_over_midnight_and_month(void) {
    struct rtc rtc = started();
    expect_shown(&rtc, 0, (uint8_t[]){0x20, 0x24, 0x02, 0x29, 5, 0x23, 0x59, 0x57});
    expect_shown(&rtc, 3 * HZ - 1, (uint8_t[]){0x20, 0x24, 0x02, 0x29, 5, 0x23, 0x59, 0x59});
    expect_shown(&rtc, 3 * HZ, (uint8_t[]){0x20, 0x24, 0x03, 0x01, 6, 0x00, 0x00, 0x00});
}

void check_it_shows_years_later_what_the_hosts_calendar_does(void) {
    struct rtc rtc = started();
    for (uint64_t seconds = 0; seconds < 100ull * 365 * 86400; seconds += 9999991) {
        time_t time = (time_t)(BOOT + seconds);
        struct tm tm;
        gmtime_r(&time, &tm);
        uint64_t now = seconds * HZ;
        expect_equal(get(&rtc, 7, now), tm.tm_mday / 10 << 4 | tm.tm_mday % 10);
        expect_equal(get(&rtc, 6, now), tm.tm_wday + 1);
        expect_equal(get(&rtc, 0, now), tm.tm_sec / 10 << 4 | tm.tm_sec % 10);
    }
}

void check_hours_are_shown_in_any_of_the_four_formats(void) {
    static const struct {
        uint8_t mode, hours[4]; /* at 0, 11, 12 and 23 */
    } formats[] = {{HOURS_24, {0x00, 0x11, 0x12, 0x23}},
                   {HOURS_24 | BINARY, {0, 11, 12, 23}},
                   {0, {0x12, 0x11, 0x92, 0x91}},
                   {BINARY, {12, 11, 0x80 | 12, 0x80 | 11}}};
    static const uint8_t hours[] = {0, 11, 12, 23};
    for (unsigned format = 0; format < 4; format++) {
        for (unsigned i = 0; i < 4; i++) {
            struct rtc rtc;
            rtc_start(&rtc, HZ, BOOT / 86400 * 86400 + hours[i] * 3600ull);
            set(&rtc, B, formats[format].mode, 0);
            set(&rtc, 4, formats[format].hours[i], 0);
            expect_equal(get(&rtc, 4, HZ), formats[format].hours[i]);
            uint8_t next = formats[format].hours[(i + 1) % 4];
            if (hours[i] == 11 || hours[i] == 23) {
                expect_equal(get(&rtc, 4, 3600 * HZ), next);
            }
        }
    }
}

void check_in_set_mode_it_stands_still_and_then_goes_on_from_what_was_set(void) {
    struct rtc rtc = started();
    set(&rtc, B, HOURS_24 | SET | UIE, HZ / 2);
    expect_equal(get(&rtc, B, HZ / 2), HOURS_24 | SET); /* UIE is cleared */
    static const uint8_t values[][2] = {{CENTURY, 0x19}, {9, 0x99}, {8, 0x12}, {7, 0x31},
                                        {6, 6},          {4, 0x23}, {2, 0x59}, {0, 0x59}};
    for (unsigned i = 0; i < 8; i++) {
        set(&rtc, values[i][0], values[i][1], HZ);
    }
    expect_equal(get(&rtc, 0, 5 * HZ), 0x59);
    expect(!(get(&rtc, A, 6 * HZ - 1) & 0x80));
    set(&rtc, B, HOURS_24, 6 * HZ + 1);
    expect_shown(&rtc, 7 * HZ, (uint8_t[]){0x20, 0x00, 0x01, 0x01, 7, 0x00, 0x00, 0x00});
}

void check_update_in_progress_warns_for_244_microseconds(void) {
    struct rtc rtc = started();
    expect_equal(get(&rtc, A, tick_time(32768 - 9)), 0x26);
    expect_equal(get(&rtc, A, tick_time(32768 - 8)), 0xa6);
    expect_equal(get(&rtc, A, HZ - 1), 0xa6);
    expect_equal(get(&rtc, A, HZ), 0x26);
}

void check_after_a_reset_of_the_divider_the_first_update_is_half_a_second_later(void) {
    struct rtc rtc = started();
    set(&rtc, A, 0x76, tick_time(1000));
    expect_equal(get(&rtc, 0, 2 * HZ), 0x57);
    set(&rtc, A, 0x26, tick_time(100000));
    expect_equal(get(&rtc, 0, tick_time(100000 + 16383)), 0x57);
    expect_equal(get(&rtc, 0, tick_time(100000 + 16384)), 0x58);
}

void check_an_update_interrupts_once_a_second_until_c_is_read(void) {
    struct rtc rtc = started();
    set(&rtc, B, HOURS_24 | UIE, 0);
    for (uint64_t second = 1; second < 100; second++) {
        expect_equal(rtc.due, second * HZ);
        rtc_advance(&rtc, second * HZ - 1);
        expect(!rtc_interrupt(&rtc));
        rtc_advance(&rtc, second * HZ);
        expect(rtc_interrupt(&rtc));
        expect_equal(rtc.due, TICKS_NEVER);
        expect_equal(get(&rtc, C, second * HZ) & 0x90, 0x90);
        expect(!rtc_interrupt(&rtc));
        expect_equal(get(&rtc, C, second * HZ), 0);
    }
}

void check_the_alarm_interrupts_at_its_time_and_any_means_any(void) {
    struct rtc rtc = started();
    set(&rtc, 5, 0xff, 0), set(&rtc, 3, 0x01, 0), set(&rtc, 1, 0x30, 0);
    set(&rtc, B, HOURS_24 | AIE, 0);
    uint64_t second = 0;
    while (!rtc_interrupt(&rtc)) {
        second++;
        expect_equal(rtc.due, second * HZ);
        rtc_advance(&rtc, rtc.due);
    }
    expect_equal(second, 3 + 90); /* 0:01:30 */
    expect_equal(get(&rtc, C, second * HZ) & 0xa0, 0xa0);
    rtc_advance(&rtc, (second + 7200) * HZ); /* two hours that nobody looked */
    expect(rtc_interrupt(&rtc));
}

void check_an_alarm_at_another_time_does_not_interrupt(void) {
    struct rtc rtc = started();
    set(&rtc, 5, 0x12, 0), set(&rtc, 3, 0x00, 0), set(&rtc, 1, 0x00, 0);
    rtc_advance(&rtc, 12 * 3600 * HZ);
    expect(!(get(&rtc, C, 12 * 3600 * HZ) & 0x20));
    expect(get(&rtc, C, 13 * 3600 * HZ) & 0x20);
}

void check_each_rate_interrupts_with_its_period(void) {
    for (unsigned rate = 1; rate < 16; rate++) {
        uint64_t period = rate == 1 ? 128 : rate == 2 ? 256 : 1u << (rate - 1);
        struct rtc rtc = started();
        set(&rtc, A, (uint8_t)(0x20 | rate), 0);
        set(&rtc, B, HOURS_24 | PIE, 0);
        for (uint64_t n = 1; n < 2000; n++) {
            expect_equal(rtc.due, tick_time(n * period));
            rtc_advance(&rtc, rtc.due);
            expect(rtc_interrupt(&rtc));
            expect_equal(get(&rtc, C, tick_time(n * period)) & 0xc0, 0xc0);
        }
    }
    struct rtc rtc = started();
    set(&rtc, A, 0x20, 0);
    set(&rtc, B, HOURS_24 | PIE, 0);
    expect_equal(rtc.due, TICKS_NEVER);
}

void check_c_and_d_can_not_be_written_and_memory_can(void) {
    struct rtc rtc = started();
    set(&rtc, C, 0xff, 0), set(&rtc, D, 0x00, 0);
    expect_equal(get(&rtc, C, 0), 0);
    expect_equal(get(&rtc, D, 0), 0x80);
    set(&rtc, 0x40, 0xa5, 0);
    expect_equal(get(&rtc, 0x40 | 0x80, 0), 0xa5); /* bit 7 is the NMI's */
    expect_equal(rtc_read(&rtc, 0x70, 0), 0xff);
}

void check_its_memory_tells_how_much_memory_there_is(void) {
    struct rtc rtc = started();
    rtc_set_memory(&rtc, 32 << 20);
    expect_equal(get(&rtc, 0x15, 0) | get(&rtc, 0x16, 0) << 8, 640);
    expect_equal(get(&rtc, 0x17, 0) | get(&rtc, 0x18, 0) << 8, 31 * 1024);
    expect_equal(get(&rtc, 0x34, 0) | get(&rtc, 0x35, 0) << 8, 256);
    unsigned sum = 0;
    for (unsigned i = 0x10; i <= 0x2d; i++) {
        sum += get(&rtc, (uint8_t)i, 0);
    }
    expect_equal(get(&rtc, 0x2e, 0) << 8 | get(&rtc, 0x2f, 0), sum);
}

void check_whatever_is_written_it_counts_on_and_waits_for_what_is_to_come(void) {
    struct rtc rtc = started();
    uint64_t now = 0;
    for (unsigned step = 0; step < 500000; step++) {
        uint8_t index = (uint8_t)(random_below(4) ? random_below(14) : random_number());
        if (random_below(2)) {
            set(&rtc, index, (uint8_t)random_number(), now);
        } else {
            get(&rtc, index, now);
        }
        expect(rtc.due > now);
        now += random_below(1ull << random_below(36));
        now -= random_below(500) ? 0 : random_below(1ull << 34);
        rtc_advance(&rtc, now);
        expect(rtc.due > now);
        if (random_below(50000) == 0) {
            now = random_number() >> random_below(30);
        }
    }
}
