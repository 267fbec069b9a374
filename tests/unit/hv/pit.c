/* dev/pit.c: ports, commands, port 61H, and the timer interrupt against the TSC. */
#include "dev/pit.h"

#include "check.h"

#define ODD_HZ 3999999937ull /* a prime: nothing divides */

static struct pit started(uint64_t hz) {
    struct pit pit;
    pit_start(&pit, hz);
    return pit;
}

/* The time of a tick, rounded up. */
static uint64_t time_of(uint64_t tick, uint64_t hz) {
    return (uint64_t)(((unsigned __int128)tick * hz + PIT_HZ - 1) / PIT_HZ);
}

static void program(struct pit *pit, unsigned channel, unsigned mode, uint16_t count,
                    uint64_t now) {
    pit_write(pit, 0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1), now);
    pit_write(pit, (uint16_t)(0x40 + channel), (uint8_t)count, now);
    pit_write(pit, (uint16_t)(0x40 + channel), (uint8_t)(count >> 8), now);
}

static uint16_t read_count(struct pit *pit, unsigned channel, uint64_t now) {
    uint8_t low = pit_read(pit, (uint16_t)(0x40 + channel), now);
    return (uint16_t)(low | pit_read(pit, (uint16_t)(0x40 + channel), now) << 8);
}

void check_it_is_silent_until_it_is_programmed(void) {
    struct pit pit = started(ODD_HZ);
    expect_equal(pit.rise, TICKS_NEVER);
    expect(!pit_advance(&pit, 1ull << 60));
}

void check_every_tick_of_three_weeks_comes_at_its_time_to_the_cycle(void) {
    struct pit pit = started(ODD_HZ);
    const uint64_t count = 11932; /* HZ=100 */
    program(&pit, 0, 2, count, 0);
    for (uint64_t n = 1; n <= 200000; n++) {
        uint64_t expected = time_of(1 + n * count, ODD_HZ);
        expect_equal(pit.rise, expected);
        expect(!pit_advance(&pit, expected - 1));
        expect(pit_advance(&pit, expected));
    }
    uint64_t last = 1000000000000 / count; /* 10^12 ticks on */
    expect(pit_advance(&pit, time_of(1 + last * count, ODD_HZ)));
    expect_equal(pit.rise, time_of(1 + (last + 1) * count, ODD_HZ));
}

void check_ticks_that_nobody_saw_are_one_and_the_next_is_on_time(void) {
    struct pit pit = started(ODD_HZ);
    program(&pit, 0, 3, 1000, 0);
    uint64_t late = time_of(1 + 1000 * 7, ODD_HZ) + 5;
    expect(pit_advance(&pit, late));
    expect(!pit_advance(&pit, late));
    expect_equal(pit.rise, time_of(1 + 1000 * 8, ODD_HZ));
}

void check_a_count_of_zero_is_65536_and_ticks_18_times_a_second(void) {
    struct pit pit = started(PIT_HZ);
    program(&pit, 0, 2, 0, 0);
    expect_equal(pit.rise, 1 + 65536);
}

void check_a_new_period_begins_where_the_old_one_ends(void) {
    struct pit pit = started(PIT_HZ);
    program(&pit, 0, 2, 1000, 0);
    pit_write(&pit, 0x40, 200, 500);
    pit_write(&pit, 0x40, 0, 500);
    expect_equal(pit.rise, 1001);
    expect(pit_advance(&pit, 1001));
    expect_equal(pit.rise, 1201);
}

void check_a_one_shot_ticks_once(void) {
    struct pit pit = started(PIT_HZ);
    program(&pit, 0, 0, 100, 0);
    expect(!pit.output);
    expect_equal(pit.rise, 101);
    expect(pit_advance(&pit, 101));
    expect(pit.output);
    expect_equal(pit.rise, TICKS_NEVER);
    program(&pit, 0, 4, 100, 1000); /* as Linux sets its next event */
    expect_equal(pit.rise, 1102);
    program(&pit, 0, 4, 50, 1060);
    expect_equal(pit.rise, 1112);
}

void check_the_square_waves_second_half_does_not_take_its_interrupt_back(void) {
    struct pit pit = started(PIT_HZ);
    program(&pit, 0, 3, 1000, 0);
    expect(pit_advance(&pit, 1001));
    pit_write(&pit, 0x43, 0, 1700); /* latches */
    pit_advance(&pit, 1700);
    expect(pit.output);
    pit_write(&pit, 0x40, 0, 1701);
    expect(pit.output);
    program(&pit, 0, 0, 9, 1702);
    expect(!pit.output);
}

void check_a_calibration_by_channel_2_takes_as_long_as_it_says(void) {
    const uint64_t hz = 2500000003;
    struct pit pit = started(hz);
    uint64_t now = 123456789, start = now;
    pit_write(&pit, 0x61, 0x01, now);
    program(&pit, 2, 0, 59659, now); /* 50 ms, as Linux does */
    while (!(pit_read(&pit, 0x61, now) & 0x20)) {
        now += 1000;
    }
    uint64_t measured = (now - start) * PIT_HZ / 59659;
    expect(measured > hz - hz / 10000 && measured < hz + hz / 10000);
}

void check_channel_2_stands_still_while_its_gate_is_closed(void) {
    struct pit pit = started(PIT_HZ);
    pit_write(&pit, 0x61, 0x01, 0);
    program(&pit, 2, 0, 1000, 0);
    pit_write(&pit, 0x61, 0x00, 401);
    expect_equal(read_count(&pit, 2, 401), 600);
    expect_equal(read_count(&pit, 2, 90000), 600);
    pit_write(&pit, 0x61, 0x01, 100000);
    expect_equal(read_count(&pit, 2, 100100), 500);
    expect(!(pit_read(&pit, 0x61, 100599) & 0x20));
    expect(pit_read(&pit, 0x61, 100600) & 0x20);
}

void check_its_gate_triggers_a_one_shot_of_channel_2(void) {
    struct pit pit = started(PIT_HZ);
    program(&pit, 2, 1, 100, 0);
    expect(pit_read(&pit, 0x61, 500) & 0x20);
    pit_write(&pit, 0x61, 0x01, 1000);
    expect(!(pit_read(&pit, 0x61, 1001) & 0x20));
    expect(!(pit_read(&pit, 0x61, 1100) & 0x20));
    expect(pit_read(&pit, 0x61, 1101) & 0x20);
}

void check_port_61_keeps_its_writable_bits_and_shows_refreshes(void) {
    struct pit pit = started(PIT_HZ);
    pit_write(&pit, 0x61, 0xfe, 0);
    expect_equal(pit_read(&pit, 0x61, 0) & 0xcf, 0x0e);
    unsigned changes = 0;
    for (uint64_t tick = 1; tick <= 18000; tick++) {
        changes += (pit_read(&pit, 0x61, tick) ^ pit_read(&pit, 0x61, tick - 1)) >> 4 & 1;
    }
    expect_equal(changes, 1000);
}

void check_a_latched_count_waits_until_it_is_read(void) {
    struct pit pit = started(PIT_HZ);
    program(&pit, 0, 2, 10000, 0);
    pit_write(&pit, 0x43, 0x00, 1001);
    pit_write(&pit, 0x43, 0x00, 2001); /* "ignored" */
    expect_equal(read_count(&pit, 0, 3001), 9000);
    expect_equal(read_count(&pit, 0, 4001), 6000);
}

void check_a_read_back_latches_status_and_count_of_several(void) {
    struct pit pit = started(PIT_HZ);
    program(&pit, 0, 2, 10000, 0);
    program(&pit, 1, 3, 500, 0);
    pit_write(&pit, 0x43, 0xc6, 1001); /* both of channels 0 and 1 */
    expect_equal(pit_read(&pit, 0x40, 2000), 0xb4);
    expect_equal(read_count(&pit, 0, 2000), 9000);
    expect_equal(pit_read(&pit, 0x41, 2000), 0xb6);
    expect_equal(read_count(&pit, 1, 2000), 500);
    pit_write(&pit, 0x43, 0xe2, 2000); /* channel 0's status alone */
    expect_equal(pit_read(&pit, 0x40, 2000), 0xb4);
    pit_write(&pit, 0x40, 1, 2000), pit_write(&pit, 0x40, 1, 2000);
    pit_write(&pit, 0x43, 0xe2, 2000);
    expect_equal(pit_read(&pit, 0x40, 2000), 0xf4); /* null count: not taken yet */
}

void check_its_control_port_can_not_be_read(void) {
    struct pit pit = started(PIT_HZ);
    expect_equal(pit_read(&pit, 0x43, 0), 0xff);
}

void check_whatever_is_written_the_next_tick_is_after_now(void) {
    for (unsigned round = 0; round < 200; round++) {
        uint64_t hz = random_below(2) ? PIT_HZ + random_below(1ull << 33) : 1 + random_below(1000);
        struct pit pit = started(hz);
        uint64_t now =
            random_below(4) ? random_below(1ull << 50) : ~0ull - random_below(1ull << 40);
        for (unsigned step = 0; step < 5000; step++) {
            uint16_t port = random_below(6) ? (uint16_t)(0x40 + random_below(4)) : 0x61;
            pit_advance(&pit, now);
            expect(pit.rise > now);
            if (random_below(3)) {
                pit_write(&pit, port, (uint8_t)random_number(), now);
            } else {
                pit_read(&pit, port, now);
            }
            expect(pit.rise > now);
            now += random_below(1ull << random_below(36));
            if (random_below(1000) == 0) {
                now -= random_below(1ull << 34); /* a guest may set its TSC */
            }
        }
    }
}
