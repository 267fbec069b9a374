/*
 * The clock and memory of a PC, an MC146818 behind ports 70H and 71H, on IRQ 8. It runs with the
 * guest's TSC.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dev/ticks.h"

enum { RTC_PORT = 0x70, RTC_BYTES = 128 };

struct rtc {
    struct ticks ticks; /* of its crystal, 32768 Hz */
    uint8_t index;
    uint8_t bytes[RTC_BYTES]; /* registers A to D among them, without the bits that time sets */
    uint8_t flags;            /* register C's PF, AF and UF */
    uint64_t second;          /* tick: when the second began that it shows */
    uint64_t seen;            /* tick: until when all flags are set */
    uint64_t due; /* TSC: when a flag is set next that raises the interrupt; TICKS_NEVER */
};

/* boot_seconds: what it shows at TSC 0, since 1970. */
void rtc_start(struct rtc *rtc, uint64_t tsc_hz, uint64_t boot_seconds);

/* What firmware would have found out and left in it: bytes of memory from 0 on. */
void rtc_set_memory(struct rtc *rtc, uint64_t memory);

uint8_t rtc_read(struct rtc *rtc, uint16_t port, uint64_t now);
void rtc_write(struct rtc *rtc, uint16_t port, uint8_t value, uint64_t now);

/* Makes flags follow the time; `due` is after `now` then. */
void rtc_advance(struct rtc *rtc, uint64_t now);

bool rtc_interrupt(const struct rtc *rtc);
