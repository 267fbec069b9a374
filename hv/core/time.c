#include "core/time.h"

#include <stdbool.h>

#include "core/steady.h"
#include "cpu/port.h"

/*
 * CPUID leaf 15H is often absent, and emulators that have it don't keep to it; the 8254 is
 * everywhere and runs in the same (virtual) time as the TSC. Channel 2 counts down once, with the
 * speaker off; its output shows in port 61H bit 5 when it reaches zero.
 */
enum {
    CALIBRATION_TICKS = TIME_PIT_HZ / 500, /* 2 ms */
    PIT_CHANNEL_2 = 0x42,
    PIT_COMMAND = 0x43,
    PIT_CHANNEL_2_MODE_0 = 0xb0, /* channel 2, low then high byte, interrupt on terminal count */
    PORT_61 = 0x61,
    GATE_2 = 0x01,
    SPEAKER = 0x02,
    OUTPUT_2 = 0x20,
};

/* Without an 8254 the wait would never end, or end before it began where nothing answers port 61H
 * and it reads as all ones; then 1 GHz is as good a guess as any. */
enum { PATIENCE = 1000000, FALLBACK_HZ = 1000000000 };

static uint64_t start, hz = FALLBACK_HZ;

/* The TSC's rate by one countdown; 0 if there is no 8254. */
static uint64_t measure(void) {
    outb(PIT_COMMAND, PIT_CHANNEL_2_MODE_0);
    outb(PIT_CHANNEL_2, CALIBRATION_TICKS & 0xff);
    outb(PIT_CHANNEL_2, CALIBRATION_TICKS >> 8);
    uint64_t before = rdtsc();
    long patience = PATIENCE;
    while (!(inb(PORT_61) & OUTPUT_2) && --patience) {
    }
    return patience ? (rdtsc() - before) * TIME_PIT_HZ / CALIBRATION_TICKS : 0;
}

void time_start(void) {
    uint8_t saved = inb(PORT_61);
    outb(PORT_61, (saved & ~SPEAKER) | GATE_2);
    bool answers = !(inb(PORT_61) & SPEAKER);
    start = rdtsc();
    /* An emulator whose host is busy stands still in the middle of a countdown. */
    uint64_t measured = answers ? steady(measure) : 0;
    outb(PORT_61, saved);
    if (measured) {
        /* Whole kHz: that is what systems count with, and more than two milliseconds can tell. */
        hz = measured > 1000 ? measured / 1000 * 1000 : measured;
    }
}

uint64_t time_microseconds(void) {
    uint64_t ticks = start ? rdtsc() - start : 0;
    return ticks / hz * 1000000 + ticks % hz * 1000000 / hz;
}

uint64_t time_tsc_hz(void) {
    return hz;
}
