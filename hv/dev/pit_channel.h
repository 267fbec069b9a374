/*
 * One counter of an 8254: what Intel's data sheet says about the six modes, as a function of the time
 * in ticks of its clock. Nothing is counted: the counting element is worked out when somebody looks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum pit_mode {
    PIT_TERMINAL_COUNT = 0,
    PIT_ONE_SHOT = 1,
    PIT_RATE = 2,
    PIT_SQUARE_WAVE = 3,
    PIT_SOFTWARE_STROBE = 4,
    PIT_HARDWARE_STROBE = 5,
};

struct pit_channel {
    uint8_t control; /* control word's bits 5:0: access 5:4, mode 3:1, BCD 0 */
    bool gate;
    bool read_high, write_high; /* of two bytes the second comes next */
    uint8_t low;                /* the first one that was written */
    uint16_t reload;            /* the count register */
    bool has_count;             /* wholly written since the control word */
    bool is_new;     /* the counting element doesn't have the count register's value yet */
    uint64_t change; /* tick: when it does, in modes 2 and 3 */
    bool counting;
    uint64_t loaded;  /* tick: when the counting element was loaded; one ahead after a write */
    uint64_t stopped; /* while it isn't counting: how many ticks it had */
    uint32_t count;   /* what it was loaded with, 1 to 65536 */
    bool before;      /* mode 1: the output until it is loaded */
    bool count_latched, status_latched;
    uint16_t latch;
    uint8_t status;
};

enum pit_mode pit_channel_mode(const struct pit_channel *channel);

void pit_channel_start(struct pit_channel *channel, bool gate);

/* A control word for this counter. Access bits of 0 latch the count. */
void pit_channel_control(struct pit_channel *channel, uint8_t control, uint64_t tick);
void pit_channel_latch_count(struct pit_channel *channel, uint64_t tick);
void pit_channel_latch_status(struct pit_channel *channel, uint64_t tick);

void pit_channel_write(struct pit_channel *channel, uint8_t value, uint64_t tick);
uint8_t pit_channel_read(struct pit_channel *channel, uint64_t tick);
void pit_channel_set_gate(struct pit_channel *channel, bool gate, uint64_t tick);

bool pit_channel_output(struct pit_channel *channel, uint64_t tick);

/* The first tick after this one at which the output rises, unless somebody interferes; false: none. */
bool pit_channel_next_rise(struct pit_channel *channel, uint64_t tick, uint64_t *rise);
