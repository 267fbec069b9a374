/*
 * The 8254 interval timer, ports 40H to 43H, and what port 61H shows of it: the gate and the output of
 * channel 2, and a bit that follows the refresh of memory. Channel 0's output is IRQ 0.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dev/pit_channel.h"
#include "dev/ticks.h"

enum {
    PIT_HZ = 1193182,
    PIT_PORT = 0x40,
    PIT_PORTS = 4,
    PIT_CONTROL_PORT = 0x61,
    PIT_CHANNELS = 3
};

struct pit {
    struct ticks ticks;
    struct pit_channel channels[PIT_CHANNELS];
    uint64_t rise;   /* TSC: when channel 0's output rises next; TICKS_NEVER */
    bool output;     /* IRQ 0: channel 0's output without the falls that come by themselves */
    uint8_t control; /* port 61H's bits 3:0 */
};

void pit_start(struct pit *pit, uint64_t tsc_hz);

/* One of the four ports or port 61H. `now` is the TSC. */
uint8_t pit_read(struct pit *pit, uint16_t port, uint64_t now);
void pit_write(struct pit *pit, uint16_t port, uint8_t value, uint64_t now);

/* Whether channel 0's output has risen since it was asked last; `rise` is after `now` then. That it
 * falls again in between nobody sees: the square wave's second half must not take back an interrupt
 * that is only late because the guest wasn't running. */
bool pit_advance(struct pit *pit, uint64_t now);
