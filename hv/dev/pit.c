#include "dev/pit.h"

enum { CONTROL = 3 }; /* offset of the control word's port */

enum { READ_BACK = 3, READ_BACK_NO_COUNT = 0x20, READ_BACK_NO_STATUS = 0x10 };

/* Port 61H (82371AB, 4.5.1) */
enum {
    GATE_2 = 0x01,
    WRITABLE = 0x0f, /* speaker and the disable bits of NMIs that nothing raises are only kept */
    REFRESH = 0x10,  /* changes with every refresh */
    OUTPUT_2 = 0x20,
    REFRESH_TICKS = 18, /* 15 us, as firmware programs channel 1; chip sets don't listen to that */
};

static void find_rise(struct pit *pit, uint64_t tick, uint64_t now) {
    uint64_t rise;
    bool any = pit_channel_next_rise(&pit->channels[0], tick, &rise);
    pit->rise = any ? ticks_time(&pit->ticks, rise, now) : TICKS_NEVER;
}

bool pit_advance(struct pit *pit, uint64_t now) {
    if (now < pit->rise) {
        return false;
    }
    find_rise(pit, ticks_at(&pit->ticks, now), now);
    pit->output = true;
    return true;
}

static uint8_t read_control(struct pit *pit, uint64_t tick) {
    uint8_t value = pit->control;
    value |= tick / REFRESH_TICKS & 1 ? REFRESH : 0;
    value |= pit_channel_output(&pit->channels[2], tick) ? OUTPUT_2 : 0;
    return value;
}

uint8_t pit_read(struct pit *pit, uint16_t port, uint64_t now) {
    uint64_t tick = ticks_at(&pit->ticks, now);
    if (port == PIT_CONTROL_PORT) {
        return read_control(pit, tick);
    }
    unsigned offset = port - PIT_PORT;
    return offset < PIT_CHANNELS ? pit_channel_read(&pit->channels[offset], tick) : 0xff;
}

static void read_back(struct pit *pit, uint8_t value, uint64_t tick) {
    for (unsigned i = 0; i < PIT_CHANNELS; i++) {
        if (value >> (i + 1) & 1) {
            if (!(value & READ_BACK_NO_COUNT)) {
                pit_channel_latch_count(&pit->channels[i], tick);
            }
            if (!(value & READ_BACK_NO_STATUS)) {
                pit_channel_latch_status(&pit->channels[i], tick);
            }
        }
    }
}

/* To the channels; whether channel 0 may have changed by it. */
static bool write_channels(struct pit *pit, unsigned offset, uint8_t value, uint64_t tick) {
    if (offset != CONTROL) {
        pit_channel_write(&pit->channels[offset], value, tick);
        return offset == 0;
    }
    unsigned selected = value >> 6;
    if (selected == READ_BACK) {
        read_back(pit, value, tick);
        return false;
    }
    pit_channel_control(&pit->channels[selected], value, tick);
    return selected == 0 && value >> 4 & 3;
}

void pit_write(struct pit *pit, uint16_t port, uint8_t value, uint64_t now) {
    uint64_t tick = ticks_at(&pit->ticks, now);
    if (port == PIT_CONTROL_PORT) {
        pit->control = value & WRITABLE;
        pit_channel_set_gate(&pit->channels[2], value & GATE_2, tick);
    } else if (write_channels(pit, port - PIT_PORT, value, tick)) {
        pit->output = pit_channel_mode(&pit->channels[0]) != PIT_TERMINAL_COUNT ||
                      pit_channel_output(&pit->channels[0], tick);
        find_rise(pit, tick, now);
    }
}

void pit_start(struct pit *pit, uint64_t tsc_hz) {
    *pit = (struct pit){.ticks = {tsc_hz, PIT_HZ}, .rise = TICKS_NEVER, .output = true};
    for (unsigned i = 0; i < PIT_CHANNELS; i++) {
        pit_channel_start(&pit->channels[i], i != 2);
    }
}
