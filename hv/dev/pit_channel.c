/* Intel 8254 data sheet, "Mode Definitions"; ticks are its "CLK pulses". */
#include "dev/pit_channel.h"

enum { ACCESS_LOW = 1, ACCESS_HIGH = 2, ACCESS_BOTH = 3 };
enum { STATUS_OUTPUT = 0x80, STATUS_NULL_COUNT = 0x40 };

enum pit_mode pit_channel_mode(const struct pit_channel *channel) {
    unsigned mode = channel->control >> 1 & 7;
    return (enum pit_mode)(mode > PIT_HARDWARE_STROBE ? mode & 3 : mode); /* 6 is 2, 7 is 3 */
}

static unsigned access_of(const struct pit_channel *channel) {
    return channel->control >> 4 & 3;
}

static bool is_periodic(const struct pit_channel *channel) {
    return pit_channel_mode(channel) == PIT_RATE || pit_channel_mode(channel) == PIT_SQUARE_WAVE;
}

static bool is_triggered(const struct pit_channel *channel) {
    return pit_channel_mode(channel) == PIT_ONE_SHOT ||
           pit_channel_mode(channel) == PIT_HARDWARE_STROBE;
}

static uint32_t modulus(const struct pit_channel *channel) {
    return channel->control & 1 ? 10000 : 65536;
}

/* What the count register stands for. Digits above 9 can be written; they count as such. */
static uint32_t full_count(const struct pit_channel *channel) {
    uint32_t value = channel->reload;
    if (channel->control & 1) {
        value =
            (value >> 12) * 1000 + (value >> 8 & 15) * 100 + (value >> 4 & 15) * 10 + (value & 15);
    }
    return value ? value : modulus(channel);
}

static uint16_t to_bcd(uint32_t value) {
    return (uint16_t)(value / 1000 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 |
                      value % 10);
}

/* How many ticks of a period of the square wave are high. */
static uint32_t high_half(uint32_t count) {
    return (count + 1) / 2;
}

/* Ticks since the counting element was loaded; negative until it is. */
static int64_t elapsed(const struct pit_channel *channel, uint64_t tick) {
    return (int64_t)(channel->counting ? tick - channel->loaded : channel->stopped);
}

static bool output(const struct pit_channel *channel, uint64_t tick) {
    int64_t ticks = elapsed(channel, tick);
    switch (pit_channel_mode(channel)) {
    case PIT_TERMINAL_COUNT: return ticks >= channel->count;
    case PIT_ONE_SHOT:
        return ticks < 0 ? channel->before : !channel->counting || ticks >= channel->count;
    case PIT_RATE:
        return !channel->counting || ticks < 0 || ticks % channel->count != channel->count - 1;
    case PIT_SQUARE_WAVE:
        return !channel->counting || ticks < 0 ||
               ticks % channel->count < high_half(channel->count);
    case PIT_SOFTWARE_STROBE:
    case PIT_HARDWARE_STROBE: return ticks != channel->count;
    }
    return true;
}

/* Loads the counting element from the count register at the next tick. */
static void begin(struct pit_channel *channel, uint64_t tick) {
    channel->before = output(channel, tick);
    channel->count = full_count(channel);
    channel->loaded = tick + 1;
    channel->counting = true;
    channel->is_new = false;
}

static void stop(struct pit_channel *channel, uint64_t tick) {
    int64_t ticks = elapsed(channel, tick);
    channel->is_new |= ticks < 0 && (is_periodic(channel) || !channel->has_count);
    channel->stopped = ticks < 0 ? 0 : (uint64_t)ticks;
    channel->counting = false;
}

/* Modes 2 and 3: a new count gets into the counting element at the end of the period, or half period. */
static void catch_up(struct pit_channel *channel, uint64_t tick) {
    if (!channel->is_new || !channel->counting || !is_periodic(channel) ||
        (int64_t)(tick - channel->change) < 0) {
        return;
    }
    bool half = (channel->change - channel->loaded) % channel->count != 0;
    channel->count = full_count(channel);
    channel->loaded = channel->change - (half ? high_half(channel->count) : 0);
    channel->is_new = false;
}

/* When a count that is written now will be taken. */
static uint64_t change_after(const struct pit_channel *channel, uint64_t tick) {
    uint64_t ticks = (uint64_t)elapsed(channel, tick), part = ticks % channel->count;
    uint32_t half = high_half(channel->count);
    bool is_first =
        pit_channel_mode(channel) == PIT_SQUARE_WAVE && part < half && half < channel->count;
    return tick - part + (is_first ? half : channel->count);
}

static void take_count(struct pit_channel *channel, uint16_t reload, uint64_t tick) {
    channel->reload = reload;
    channel->has_count = true;
    channel->is_new = true;
    if (is_triggered(channel)) {
        return; /* the next trigger takes it */
    }
    if (is_periodic(channel)) {
        if (channel->counting && elapsed(channel, tick) >= 0) {
            channel->change = change_after(channel, tick);
        } else if (channel->gate) {
            begin(channel, tick);
        }
        return;
    }
    begin(channel, tick);
    if (!channel->gate) {
        channel->counting = false;
        channel->stopped = 0;
    }
}

void pit_channel_write(struct pit_channel *channel, uint8_t value, uint64_t tick) {
    catch_up(channel, tick);
    switch (access_of(channel)) {
    case ACCESS_LOW: take_count(channel, value, tick); return;
    case ACCESS_HIGH: take_count(channel, (uint16_t)(value << 8), tick); return;
    default: break;
    }
    if (channel->write_high) {
        channel->write_high = false;
        take_count(channel, (uint16_t)(channel->low | value << 8), tick);
        return;
    }
    channel->low = value;
    channel->write_high = true;
    if (pit_channel_mode(channel) ==
        PIT_TERMINAL_COUNT) { /* "writing the first byte disables counting" */
        channel->has_count = false;
        stop(channel, tick);
        channel->stopped = 0;
    }
}

/* What the counting element shows. */
static uint16_t current(const struct pit_channel *channel, uint64_t tick) {
    uint64_t ticks = elapsed(channel, tick) < 0 ? 0 : (uint64_t)elapsed(channel, tick);
    uint64_t value, part = ticks % channel->count;
    uint32_t half = high_half(channel->count);
    switch (pit_channel_mode(channel)) {
    case PIT_RATE: value = channel->count - part; break;
    case PIT_SQUARE_WAVE: /* by two, from an even number, in each half */
        value = (channel->count & ~1u) - 2 * (part < half ? part : part - half);
        break;
    case PIT_TERMINAL_COUNT:
    case PIT_ONE_SHOT:
    case PIT_SOFTWARE_STROBE:
    case PIT_HARDWARE_STROBE:
    default: value = channel->count + modulus(channel) - ticks % modulus(channel); break;
    }
    value %= modulus(channel);
    return channel->control & 1 ? to_bcd((uint32_t)value) : (uint16_t)value;
}

void pit_channel_latch_count(struct pit_channel *channel, uint64_t tick) {
    catch_up(channel, tick);
    if (!channel->count_latched) { /* the first one stays until it is read */
        channel->latch = current(channel, tick);
        channel->count_latched = true;
    }
}

void pit_channel_latch_status(struct pit_channel *channel, uint64_t tick) {
    catch_up(channel, tick);
    if (!channel->status_latched) {
        bool is_null = channel->is_new || elapsed(channel, tick) < 0;
        channel->status = (uint8_t)((output(channel, tick) ? STATUS_OUTPUT : 0) |
                                    (is_null ? STATUS_NULL_COUNT : 0) | channel->control);
        channel->status_latched = true;
    }
}

uint8_t pit_channel_read(struct pit_channel *channel, uint64_t tick) {
    catch_up(channel, tick);
    if (channel->status_latched) {
        channel->status_latched = false;
        return channel->status;
    }
    uint16_t value = channel->count_latched ? channel->latch : current(channel, tick);
    bool high = access_of(channel) == ACCESS_HIGH || channel->read_high;
    channel->read_high = access_of(channel) == ACCESS_BOTH && !channel->read_high;
    if (!channel->read_high) {
        channel->count_latched = false;
    }
    return (uint8_t)(high ? value >> 8 : value);
}

void pit_channel_control(struct pit_channel *channel, uint8_t control, uint64_t tick) {
    if (!(control >> 4 & 3)) {
        pit_channel_latch_count(channel, tick);
        return;
    }
    *channel = (struct pit_channel){.control = control & 0x3f,
                                    .gate = channel->gate,
                                    .is_new = true,
                                    .reload = channel->reload,
                                    .count = channel->count};
}

void pit_channel_set_gate(struct pit_channel *channel, bool gate, uint64_t tick) {
    catch_up(channel, tick);
    if (channel->gate == gate) {
        return;
    }
    channel->gate = gate;
    if (is_triggered(channel)) {
        if (gate && channel->has_count) {
            begin(channel, tick);
        }
    } else if (!gate) {
        stop(channel, tick);
    } else if (channel->has_count && is_periodic(channel)) {
        begin(channel, tick);
    } else if (channel->has_count) {
        channel->loaded = tick - channel->stopped;
        channel->counting = true;
    }
}

bool pit_channel_output(struct pit_channel *channel, uint64_t tick) {
    catch_up(channel, tick);
    return output(channel, tick);
}

bool pit_channel_next_rise(struct pit_channel *channel, uint64_t tick, uint64_t *rise) {
    catch_up(channel, tick);
    if (!channel->counting) {
        return false;
    }
    int64_t ticks = elapsed(channel, tick);
    if (!is_periodic(channel)) {
        bool strobe = pit_channel_mode(channel) == PIT_SOFTWARE_STROBE ||
                      pit_channel_mode(channel) == PIT_HARDWARE_STROBE;
        uint64_t length = channel->count + (strobe ? 1u : 0u); /* low for a tick at the end */
        *rise = channel->loaded + length;
        return ticks < (int64_t)length;
    }
    if (channel->is_new) {
        struct pit_channel next = *channel;
        uint64_t change = channel->change;
        catch_up(&next, change);
        bool rises_there = next.loaded == change;
        *rise = rises_there ? change : next.loaded + next.count;
        return rises_there || next.count > 1;
    }
    uint64_t periods = ticks < 0 ? 1 : (uint64_t)ticks / channel->count + 1;
    *rise = channel->loaded + periods * channel->count;
    return channel->count > 1; /* 1 isn't allowed: it never falls, or never rises */
}

void pit_channel_start(struct pit_channel *channel, bool gate) {
    /* Undefined until it is programmed; high, so that nothing begins with an edge. */
    *channel = (struct pit_channel){
        .control = ACCESS_BOTH << 4 | PIT_SQUARE_WAVE << 1, .gate = gate, .count = 0x10000};
}
