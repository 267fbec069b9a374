/*
 * dev/pit_channel.c, which works counters out, against a model that counts: the sentences of Intel's
 * 8254 data sheet, one clock pulse after the other. Random programs of all modes run on both.
 */
#include "dev/pit_channel.h"

#include "check.h"

enum { BOTH_BYTES = 3 };

struct model {
    unsigned mode, access;
    bool bcd, gate;
    uint16_t reload;                /* CR */
    int value;                      /* CE; -1: never loaded */
    bool loads, counts, null_count; /* loads: CR goes into CE with the next pulse */
    bool output, second_half, odd_extra;
    uint32_t start; /* the count that CE was loaded with */
    bool first_byte, armed;
    uint8_t low;
};

static int decimal(uint16_t bcd) {
    return (bcd >> 12) * 1000 + (bcd >> 8 & 15) * 100 + (bcd >> 4 & 15) * 10 + (bcd & 15);
}

static int modulus(const struct model *model) {
    return model->bcd ? 10000 : 65536;
}

static int written_count(const struct model *model) {
    int count = model->bcd ? decimal(model->reload) : model->reload;
    return count ? count : modulus(model);
}

static uint16_t shown(const struct model *model) {
    int value = model->value % modulus(model);
    if (!model->bcd) {
        return (uint16_t)value;
    }
    return (uint16_t)(value / 1000 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 |
                      value % 10);
}

static void model_control(struct model *model, unsigned mode, unsigned access, bool bcd) {
    int value = model->value;
    *model = (struct model){.mode = mode,
                            .access = access,
                            .bcd = bcd,
                            .gate = model->gate,
                            .value = value,
                            .null_count = true,
                            .output = mode != 0};
}

static void model_count(struct model *model, uint16_t count) {
    bool first = !model->armed;
    model->reload = count;
    model->armed = true;
    model->null_count = true;
    switch (model->mode) {
    case 0:
        model->output = false; /* with a count of one byte, too */
        model->loads = true;
        break;
    case 4: model->loads = true; break;
    case 2:
    case 3: model->loads = model->loads || (first && model->gate); break;
    default: break; /* 1 and 5 wait for a trigger */
    }
}

static void model_write(struct model *model, uint8_t byte) {
    if (model->access == 1) {
        model_count(model, byte);
    } else if (model->access == 2) {
        model_count(model, (uint16_t)(byte << 8));
    } else if (model->first_byte) {
        model->first_byte = false;
        model_count(model, (uint16_t)(model->low | byte << 8));
    } else {
        model->first_byte = true;
        model->low = byte;
        if (model->mode == 0) { /* "disables counting. OUT is set low immediately" */
            model->counts = model->loads = model->armed = false;
            model->output = false;
        }
    }
}

static void model_gate(struct model *model, bool gate) {
    bool rises = gate && !model->gate;
    model->gate = gate;
    if (!gate && (model->mode == 2 || model->mode == 3)) {
        model->output = true; /* "if GATE goes low during an output pulse, OUT is set high" */
        model->loads = model->counts = false;
    }
    if (rises && model->armed && model->mode != 0 && model->mode != 4) {
        model->loads = true;
    }
}

/* Modes 2 and 3 start a period, or its second half. */
static void model_reload(struct model *model, bool second_half) {
    int count = written_count(model);
    model->start = (uint32_t)count;
    model->null_count = false;
    model->second_half = second_half;
    model->output = !second_half;
    model->value = model->mode == 3 ? count & ~1 : count;
    model->odd_extra = count & 1 && !second_half;
}

static void model_pulse_rate(struct model *model) {
    if (--model->value == 1) {
        model->output = false;
    } else if (model->value <= 0) {
        model_reload(model, false);
    }
}

static void model_pulse_square(struct model *model) {
    model->value -= 2;
    if (model->value == 0 && model->odd_extra) {
        return; /* an odd count: one pulse more in the high half */
    }
    if (model->value <= 0) {
        model_reload(model, !model->second_half);
    }
}

static void model_pulse(struct model *model) {
    if (model->loads) {
        model->loads = false;
        if (model->mode == 2 || model->mode == 3) {
            model_reload(model, false);
        } else {
            model->value = written_count(model);
            model->null_count = false;
            model->output = model->mode != 0 && model->mode != 1;
        }
        model->counts = true;
        return;
    }
    if (!model->counts || (!model->gate && model->mode != 1 && model->mode != 5)) {
        return;
    }
    switch (model->mode) {
    case 2: model_pulse_rate(model); return;
    case 3: model_pulse_square(model); return;
    default: break;
    }
    bool was_strobe = !model->output;
    bool reached = model->value == 1;
    model->value = model->value <= 0 ? modulus(model) - 1 : model->value - 1;
    if (model->mode < 2) {
        model->output = model->output || reached;
    } else {
        model->output = !reached || was_strobe;
    }
}

struct both {
    struct model model;
    struct pit_channel channel;
    uint64_t tick;
    bool null_was; /* reading the count means something only while it counts */
};

static void both_control(struct both *both, unsigned mode, unsigned access, bool bcd) {
    model_control(&both->model, mode, access, bcd);
    pit_channel_control(&both->channel, (uint8_t)(access << 4 | mode << 1 | bcd), both->tick);
}

static void both_write(struct both *both, uint8_t byte) {
    model_write(&both->model, byte);
    pit_channel_write(&both->channel, byte, both->tick);
}

static uint16_t read_count(struct both *both) {
    pit_channel_latch_count(&both->channel, both->tick);
    uint8_t low = pit_channel_read(&both->channel, both->tick);
    if (both->model.access != BOTH_BYTES) {
        return low;
    }
    return (uint16_t)(low | pit_channel_read(&both->channel, both->tick) << 8);
}

static void compare(struct both *both) {
    struct model *model = &both->model;
    expect_equal(pit_channel_output(&both->channel, both->tick), model->output);
    pit_channel_latch_status(&both->channel, both->tick);
    uint8_t status = pit_channel_read(&both->channel, both->tick);
    expect_equal(status >> 7, model->output);
    expect_equal(status >> 6 & 1, model->null_count);
    if (model->counts && !model->loads) {
        uint16_t count = shown(model);
        uint16_t expected = model->access == 2   ? count >> 8
                            : model->access == 1 ? count & 0xff
                                                 : count;
        expect_equal(read_count(both), expected);
    }
}

/* Counts that are small enough for a program to see their ends; sometimes any, but 1, which modes 2
 * and 3 don't allow. */
static uint8_t low_byte(void) {
    uint8_t any = (uint8_t)(random_number() & 0x99);
    return random_below(8) || any == 1 ? (uint8_t)(2 + random_below(7)) : any;
}

static void write_count(struct both *both) {
    bool is_second = both->model.first_byte;
    both_write(both, both->model.access == 2 ? (uint8_t)random_below(2) : low_byte());
    if (both->model.access == BOTH_BYTES && !is_second && random_below(4)) {
        both_write(both, (uint8_t)(random_below(8) ? 0 : random_below(2)));
    }
}

static void program(struct both *both) {
    switch (random_below(40)) {
    case 0:
        both_control(both, (unsigned)random_below(6), 1 + (unsigned)random_below(3),
                     random_below(2));
        break;
    case 1: write_count(both); break;
    case 2: {
        bool gate = random_below(2);
        model_gate(&both->model, gate);
        pit_channel_set_gate(&both->channel, gate, both->tick);
        break;
    }
    default: break;
    }
}

void check_all_modes_do_what_a_counter_does_pulse_by_pulse(void) {
    for (unsigned round = 0; round < 20000; round++) {
        struct both both = {.tick = random_below(3) ? random_below(1ull << 40) : 0};
        both.model.gate = true;
        pit_channel_start(&both.channel, true);
        both_control(&both, round % 6, 1 + (unsigned)random_below(3), random_below(2));
        write_count(&both);
        for (unsigned pulse = 0; pulse < 150; pulse++) {
            both.tick++;
            model_pulse(&both.model);
            compare(&both);
            program(&both);
        }
    }
}

void check_the_next_rise_is_the_next_tick_at_which_the_output_rises(void) {
    for (unsigned round = 0; round < 20000; round++) {
        struct both both = {.tick = random_below(1ull << 40)};
        pit_channel_start(&both.channel, true);
        both.model.gate = true;
        both_control(&both, round % 6, 1, false);
        both_write(&both, (uint8_t)(2 + random_below(250)));
        both.tick += random_below(20);
        pit_channel_output(&both.channel, both.tick);
        if (random_below(2)) {
            both_write(&both, (uint8_t)(2 + random_below(250)));
        }
        uint64_t rise, tick = both.tick;
        bool any = pit_channel_next_rise(&both.channel, tick, &rise);
        bool before = pit_channel_output(&both.channel, tick), found = false;
        for (unsigned i = 0; i < 700 && !found; i++) {
            bool after = pit_channel_output(&both.channel, ++tick);
            found = after && !before;
            before = after;
        }
        expect_equal(any, found);
        if (found) {
            expect_equal(rise, tick);
        }
    }
}
