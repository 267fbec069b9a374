/* MC146818 data sheet: "Address Map", "Time, Calendar, and Alarm Locations", "Registers". */
#include "dev/rtc.h"

#include "core/calendar.h"

enum { CRYSTAL_HZ = 32768, UPDATE_WARNING = 8 /* ticks, 244 us: UIP comes before the update */ };

enum {
    SECOND = 0,
    SECOND_ALARM = 1,
    MINUTE = 2,
    MINUTE_ALARM = 3,
    HOUR = 4,
    HOUR_ALARM = 5,
    WEEKDAY = 6, /* 1 is Sunday */
    DAY = 7,
    MONTH = 8,
    YEAR = 9,
    A = 10,
    B = 11,
    C = 12,
    D = 13,
    CENTURY = 0x32,
};

/* What firmware keeps in the rest; base memory and what is above 1 MiB in KiB, low byte first. */
enum {
    EQUIPMENT = 0x14,
    EQUIPMENT_FPU = 2,
    BASE_KIB = 0x15,
    BASE_MEMORY = 640,
    EXTENDED_KIB = 0x17,
    CHECKED_FIRST = 0x10,
    CHECKED_LAST = 0x2d,
    CHECKSUM = 0x2e, /* high byte first */
    EXTENDED_KIB_AGAIN = 0x30,
    ABOVE_16_MIB = 0x34, /* in 64 KiB */
};

enum { A_UIP = 0x80, A_DIVIDER_RESET = 0x60, A_DIVIDER = 0x70, A_32768_HZ = 0x20, A_RATE = 0x0f };
enum { B_SET = 0x80, B_UIE = 0x10, B_BINARY = 0x04, B_24_HOURS = 0x02 };
enum { FLAG_PERIODIC = 0x40, FLAG_ALARM = 0x20, FLAG_UPDATE = 0x10, FLAGS = 0x70, C_IRQF = 0x80 };
enum { D_VALID = 0x80, HOUR_PM = 0x80, ALARM_ANY = 0xc0 };

static int decoded(const struct rtc *rtc, uint8_t value) {
    return rtc->bytes[B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

static uint8_t encoded(const struct rtc *rtc, int value) {
    return (uint8_t)(rtc->bytes[B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static int decoded_hour(const struct rtc *rtc, uint8_t value) {
    if (rtc->bytes[B] & B_24_HOURS) {
        return decoded(rtc, value);
    }
    return decoded(rtc, value & (uint8_t)~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

static uint8_t encoded_hour(const struct rtc *rtc, int hour) {
    if (rtc->bytes[B] & B_24_HOURS) {
        return encoded(rtc, hour);
    }
    return (uint8_t)(encoded(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0));
}

/* What the registers show; whatever was written there, a date that can be counted with. */
static int64_t shown(const struct rtc *rtc) {
    const uint8_t *bytes = rtc->bytes;
    int month = decoded(rtc, bytes[MONTH]);
    struct calendar calendar = {.year =
                                    decoded(rtc, bytes[CENTURY]) * 100 + decoded(rtc, bytes[YEAR]),
                                .month = month < 1    ? 1
                                         : month > 12 ? 12
                                                      : month,
                                .day = decoded(rtc, bytes[DAY]),
                                .hour = decoded_hour(rtc, bytes[HOUR]),
                                .minute = decoded(rtc, bytes[MINUTE]),
                                .second = decoded(rtc, bytes[SECOND])};
    return calendar_seconds(&calendar);
}

static void show(struct rtc *rtc, int64_t seconds, int weekday) {
    struct calendar calendar = calendar_at(seconds);
    rtc->bytes[SECOND] = encoded(rtc, calendar.second);
    rtc->bytes[MINUTE] = encoded(rtc, calendar.minute);
    rtc->bytes[HOUR] = encoded_hour(rtc, calendar.hour);
    rtc->bytes[WEEKDAY] = encoded(rtc, weekday);
    rtc->bytes[DAY] = encoded(rtc, calendar.day);
    rtc->bytes[MONTH] = encoded(rtc, calendar.month);
    rtc->bytes[YEAR] = encoded(rtc, calendar.year % 100);
    rtc->bytes[CENTURY] = encoded(rtc, calendar.year / 100 % 100);
}

static bool is_alarm(const struct rtc *rtc, int64_t second_of_day) {
    uint8_t second = rtc->bytes[SECOND_ALARM], minute = rtc->bytes[MINUTE_ALARM];
    uint8_t hour = rtc->bytes[HOUR_ALARM];
    return (second >= ALARM_ANY || decoded(rtc, second) == second_of_day % 60) &&
           (minute >= ALARM_ANY || decoded(rtc, minute) == second_of_day / 60 % 60) &&
           (hour >= ALARM_ANY || decoded_hour(rtc, hour) == second_of_day / 3600);
}

static int64_t day_of(int64_t seconds) {
    return (seconds - (seconds % SECONDS_OF_DAY + SECONDS_OF_DAY) % SECONDS_OF_DAY) /
           SECONDS_OF_DAY;
}

/* So many updates at once; each one compares with the alarm. */
static void update(struct rtc *rtc, uint64_t updates) {
    int64_t before = shown(rtc), after = before + (int64_t)updates;
    int64_t days = (day_of(after) - day_of(before)) % 7;
    show(rtc, after, (int)((decoded(rtc, rtc->bytes[WEEKDAY]) - 1 + days) % 7 + 1));
    rtc->flags |= FLAG_UPDATE;
    uint64_t compared = updates < SECONDS_OF_DAY ? updates : SECONDS_OF_DAY; /* it is daily */
    for (int64_t at = after; compared && !(rtc->flags & FLAG_ALARM); at--, compared--) {
        if (is_alarm(rtc, at - day_of(at) * SECONDS_OF_DAY)) {
            rtc->flags |= FLAG_ALARM;
        }
    }
}

static bool is_held(const struct rtc *rtc) {
    return (rtc->bytes[A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

static bool updates(const struct rtc *rtc) {
    return !is_held(rtc) && !(rtc->bytes[B] & B_SET);
}

/* In ticks; 0: none. The two fastest that the divider has are slower with this crystal (table 5). */
static uint64_t period(const struct rtc *rtc) {
    unsigned rate = rtc->bytes[A] & A_RATE;
    if (!rate || is_held(rtc)) {
        return 0;
    }
    return 1ull << (rate <= 2 ? rate + 6 : rate - 1);
}

static void catch_up(struct rtc *rtc, uint64_t tick) {
    if (tick <= rtc->seen) {
        return;
    }
    uint64_t length = period(rtc), seconds = (tick - rtc->second) / CRYSTAL_HZ;
    if (length && tick / length != rtc->seen / length) {
        rtc->flags |= FLAG_PERIODIC;
    }
    rtc->seen = tick;
    if (is_held(rtc)) {
        rtc->second = tick;
    } else if (seconds) {
        rtc->second += seconds * CRYSTAL_HZ;
        if (updates(rtc)) {
            update(rtc, seconds);
        }
    }
}

/* A flag that is set and enabled already keeps the interrupt up: nothing to wait for. */
static void find_due(struct rtc *rtc, uint64_t now) {
    uint8_t awaited = rtc->bytes[B] & (uint8_t)~rtc->flags & FLAGS;
    rtc->due = TICKS_NEVER;
    if (rtc->flags & rtc->bytes[B]) {
        return;
    }
    if (awaited & (FLAG_ALARM | FLAG_UPDATE) && updates(rtc)) {
        rtc->due = ticks_time(&rtc->ticks, rtc->second + CRYSTAL_HZ, now);
    }
    uint64_t length = period(rtc);
    if (awaited & FLAG_PERIODIC && length) {
        uint64_t next = ticks_time(&rtc->ticks, (rtc->seen / length + 1) * length, now);
        rtc->due = next < rtc->due ? next : rtc->due;
    }
}

void rtc_advance(struct rtc *rtc, uint64_t now) {
    catch_up(rtc, ticks_at(&rtc->ticks, now));
    find_due(rtc, now);
}

bool rtc_interrupt(const struct rtc *rtc) {
    return rtc->flags & rtc->bytes[B];
}

static uint8_t read_a(const struct rtc *rtc) {
    bool soon = updates(rtc) && rtc->seen - rtc->second >= CRYSTAL_HZ - UPDATE_WARNING;
    return rtc->bytes[A] | (soon ? A_UIP : 0);
}

static uint8_t read_c(struct rtc *rtc) {
    uint8_t value = rtc->flags | (rtc_interrupt(rtc) ? C_IRQF : 0);
    rtc->flags = 0;
    return value;
}

uint8_t rtc_read(struct rtc *rtc, uint16_t port, uint64_t now) {
    if (port == RTC_PORT) {
        return 0xff; /* the index can't be read */
    }
    rtc_advance(rtc, now);
    switch (rtc->index) {
    case A: return read_a(rtc);
    case C: {
        uint8_t value = read_c(rtc);
        find_due(rtc, now);
        return value;
    }
    default: return rtc->bytes[rtc->index];
    }
}

static void write_a(struct rtc *rtc, uint8_t value) {
    bool was_held = is_held(rtc);
    rtc->bytes[A] = value & (uint8_t)~A_UIP;
    if (was_held && !is_held(rtc)) {
        rtc->second = rtc->seen - CRYSTAL_HZ / 2; /* the first update follows half a second later */
    }
}

void rtc_write(struct rtc *rtc, uint16_t port, uint8_t value, uint64_t now) {
    if (port == RTC_PORT) {
        rtc->index = value & (RTC_BYTES - 1); /* bit 7 keeps NMIs off, and there are none */
        return;
    }
    rtc_advance(rtc, now);
    switch (rtc->index) {
    case A: write_a(rtc, value); break;
    case B: /* "the UIE bit is cleared ... by the SET bit going high" */
        rtc->bytes[B] = value & B_SET ? value & (uint8_t)~B_UIE : value;
        break;
    case C:
    case D: break; /* read-only */
    default: rtc->bytes[rtc->index] = value; break;
    }
    find_due(rtc, now);
}

static void set_word(struct rtc *rtc, unsigned index, uint64_t value) {
    value = value < 0xffff ? value : 0xffff;
    rtc->bytes[index] = (uint8_t)value;
    rtc->bytes[index + 1] = (uint8_t)(value >> 8);
}

void rtc_set_memory(struct rtc *rtc, uint64_t memory) {
    const uint64_t mib = 1 << 20;
    uint64_t extended = memory > mib ? (memory - mib) >> 10 : 0;
    set_word(rtc, BASE_KIB, memory >> 10 < BASE_MEMORY ? memory >> 10 : BASE_MEMORY);
    set_word(rtc, EXTENDED_KIB, extended);
    set_word(rtc, EXTENDED_KIB_AGAIN, extended);
    set_word(rtc, ABOVE_16_MIB, memory > 16 * mib ? (memory - 16 * mib) >> 16 : 0);
    unsigned sum = 0;
    for (unsigned i = CHECKED_FIRST; i <= CHECKED_LAST; i++) {
        sum += rtc->bytes[i];
    }
    rtc->bytes[CHECKSUM] = (uint8_t)(sum >> 8);
    rtc->bytes[CHECKSUM + 1] = (uint8_t)sum;
}

void rtc_start(struct rtc *rtc, uint64_t tsc_hz, uint64_t boot_seconds) {
    *rtc = (struct rtc){.ticks = {tsc_hz, CRYSTAL_HZ}, .due = TICKS_NEVER};
    rtc->bytes[A] = A_32768_HZ | 6; /* and 1024 Hz, as firmware leaves it */
    rtc->bytes[B] = B_24_HOURS;
    rtc->bytes[D] = D_VALID;
    rtc->bytes[EQUIPMENT] = EQUIPMENT_FPU;
    show(rtc, (int64_t)boot_seconds, (int)((boot_seconds / SECONDS_OF_DAY + 4) % 7 + 1));
    rtc_set_memory(rtc, 0);
}
