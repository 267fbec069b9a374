/* dev/platform.c: how the devices are wired, and the ports that end a machine. */
#include "dev/platform.h"

#include <string.h>

#include "check.h"

#define HZ 2999999929ull
enum { TIMER = 0x30, SERIAL = 0x34, CLOCK = 0x38 };

static unsigned printed;

static void put(void *context, uint8_t byte) {
    (void)context, (void)byte;
    printed++;
}

static struct platform started(void) {
    struct platform platform;
    platform_start(&platform, HZ, 0, put, 0);
    return platform;
}

static void out(struct platform *platform, uint16_t port, uint8_t value, uint64_t now) {
    platform_write(platform, port, 1, value, now);
}

static uint8_t in(struct platform *platform, uint16_t port, uint64_t now) {
    return (uint8_t)platform_read(platform, port, 1, now);
}

/* Both 8259s as Linux programs them, all inputs open. */
static struct platform ready(void) {
    struct platform platform = started();
    static const uint8_t words[][2] = {{0x20, 0x11}, {0x21, 0x30}, {0x21, 4}, {0x21, 1}, {0x21, 0},
                                       {0xa0, 0x11}, {0xa1, 0x38}, {0xa1, 2}, {0xa1, 1}, {0xa1, 0}};
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        out(&platform, words[i][0], words[i][1], 0);
    }
    return platform;
}

static void set_timer(struct platform *platform, uint16_t count, uint64_t now) {
    out(platform, 0x43, 0x34, now);
    out(platform, 0x40, (uint8_t)count, now);
    out(platform, 0x40, (uint8_t)(count >> 8), now);
}

void check_nothing_happens_by_itself(void) {
    struct platform platform = started();
    expect(platform.deadline == UINT64_MAX && !platform.interrupt);
    platform_advance(&platform, 1ull << 60);
    expect(platform.deadline == UINT64_MAX && !platform.interrupt);
}

void check_the_timer_is_irq_0_and_ticks_as_often_as_the_tsc_says(void) {
    struct platform platform = ready();
    set_timer(&platform, 11932, 0);
    uint64_t now = 0, ticks = 0;
    while (now < 3600 * HZ) {
        now = platform.deadline;
        platform_advance(&platform, now);
        expect(platform.interrupt);
        expect_equal(platform_acknowledge(&platform, now), TIMER);
        expect(!platform.interrupt && platform.deadline > now);
        out(&platform, 0x20, 0x20, now);
        ticks++;
    }
    expect_equal(ticks, (unsigned __int128)3600 * 1193182 / 11932 + 1);
}

void check_nobody_waits_for_a_tick_while_one_is_requested(void) {
    struct platform platform = ready();
    set_timer(&platform, 2, 0);
    platform_advance(&platform, platform.deadline);
    expect(platform.interrupt);
    expect_equal(platform.deadline, UINT64_MAX);
    expect_equal(platform_acknowledge(&platform, HZ), TIMER);
    expect(platform.deadline > HZ && platform.deadline < HZ + HZ / 500000);
}

void check_a_tick_that_came_while_interrupts_were_off_is_not_lost(void) {
    struct platform platform = ready();
    out(&platform, 0x43, 0x36, 0); /* the square wave, as Mach has it */
    out(&platform, 0x40, 0x9c, 0), out(&platform, 0x40, 0x2e, 0);
    platform_advance(&platform, HZ / 100 + HZ / 150); /* its output has fallen again */
    expect(platform.interrupt);
    expect_equal(platform_acknowledge(&platform, HZ / 100 + HZ / 150), TIMER);
}

void check_the_serial_port_is_irq_4_until_it_is_served(void) {
    struct platform platform = ready();
    out(&platform, 0x3fc, 8, 0), out(&platform, 0x3f9, 1, 0), out(&platform, 0x3fa, 1, 0);
    expect(platform_receive(&platform, 'x') && platform.interrupt);
    expect_equal(platform_acknowledge(&platform, 0), SERIAL);
    expect_equal(in(&platform, 0x3f8, 0), 'x');
    out(&platform, 0x20, 0x20, 0);
    expect(!platform.interrupt);
    while (platform_has_room(&platform)) {
        expect(platform_receive(&platform, 'y'));
    }
    expect(!platform_receive(&platform, 'z'));
}

void check_a_served_byte_leaves_no_interrupt_behind(void) {
    struct platform platform = ready();
    out(&platform, 0x3fc, 8, 0), out(&platform, 0x3f9, 1, 0);
    platform_receive(&platform, 'x');
    expect(platform.interrupt);
    in(&platform, 0x3f8, 0); /* by polling */
    expect(!platform.interrupt);
}

void check_the_clock_is_irq_8(void) {
    struct platform platform = ready();
    out(&platform, 0x70, 0x0b, 0), out(&platform, 0x71, 0x12, 0);
    expect_equal(platform.deadline, HZ);
    platform_advance(&platform, HZ);
    expect(platform.interrupt);
    expect_equal(platform_acknowledge(&platform, HZ), CLOCK);
    out(&platform, 0xa0, 0x20, HZ), out(&platform, 0x20, 0x20, HZ);
    out(&platform, 0x70, 0x0c, HZ);
    expect(in(&platform, 0x71, HZ) & 0x80);
    expect_equal(platform.deadline, 2 * HZ);
}

void check_absent_ports_read_ones_and_swallow_writes(void) {
    struct platform platform = started();
    for (unsigned port = 0; port < 0x10000; port++) {
        bool is_there = (port & 0xff7e) == 0x20 || port / 4 == 0x10 || port == 0x61 ||
                        port == 0x60 || port == 0x64 || port / 2 == 0x38 || port == 0x92 ||
                        port / 8 == 0x7f || port / 2 == 0x268 || port == 0xf4 || port == 0xcf9;
        if (!is_there) {
            out(&platform, (uint16_t)port, 0xff, 0);
            expect_equal(in(&platform, (uint16_t)port, 0), 0xff);
        }
    }
    expect_equal(platform.power.end, PLATFORM_RUNS);
    expect_equal(printed, 0);
}

void check_wide_accesses_are_as_many_narrow_ones_even_around_the_end(void) {
    struct platform platform = started();
    expect_equal(platform_read(&platform, 0xfffe, 4, 0), 0xffffffff);
    platform_write(&platform, 0xffff, 4, 0, 0);
    platform_write(&platform, 0x3fe, 2, 0x5a00, 0);
    expect_equal(platform_read(&platform, 0x3fe, 2, 0), 0x5ab0);
    expect_equal(platform_read(&platform, 0x3fe, 4, 0), 0xffff5ab0);
}

void check_there_is_no_keyboard_controller_but_its_reset(void) {
    struct platform platform = started();
    expect_equal(platform_read(&platform, 0x60, 1, 0) | platform_read(&platform, 0x64, 1, 0), 0);
    out(&platform, 0x64, 0xff, 0), out(&platform, 0x64, 0xd1, 0);
    expect_equal(platform.power.end, PLATFORM_RUNS);
    out(&platform, 0x64, 0xfe, 0);
    expect_equal(platform.power.end, PLATFORM_RESET);
}

void check_ports_92_and_cf9_reset_with_a_rising_bit(void) {
    struct platform platform = started();
    out(&platform, 0x92, 2, 0);
    expect_equal(platform.power.end, PLATFORM_RUNS);
    out(&platform, 0x92, 3, 0);
    expect_equal(platform.power.end, PLATFORM_RESET);
    platform = started();
    out(&platform, 0xcf9, 2, 0);
    expect_equal(platform.power.end, PLATFORM_RUNS);
    out(&platform, 0xcf9, 6, 0);
    expect_equal(platform.power.end, PLATFORM_RESET);
}

void check_looking_for_pci_does_not_reset(void) {
    struct platform platform = started();
    platform_write(&platform, 0xcf8, 4, 0x80000400, 0);
    expect_equal(platform_read(&platform, 0xcf8, 4, 0), 0xffffffff);
    expect_equal(platform.power.end, PLATFORM_RUNS);
}

void check_the_exit_port_takes_the_whole_value_as_the_code(void) {
    for (unsigned size = 1; size <= 4; size *= 2) {
        struct platform platform = started();
        uint32_t code = 0x12345678 & (uint32_t)((1ull << 8 * size) - 1);
        platform_write(&platform, 0xf4, size, 0x12345678, 0); /* EAX, whatever the size */
        expect_equal(platform.power.end, PLATFORM_EXIT);
        expect_equal(platform.power.exit_code, code);
    }
}

void check_shutdown_letter_by_letter_ends_well_and_nothing_less_does(void) {
    struct platform platform = started();
    for (const char *c = "ShutdowShutShutdow"; *c; c++) {
        out(&platform, 0x8900, (uint8_t)*c, 0);
    }
    expect_equal(platform.power.end, PLATFORM_RUNS);
    out(&platform, 0x8900, 'n', 0);
    expect_equal(platform.power.end, PLATFORM_EXIT);
    expect_equal(platform.power.exit_code, 0);
}

void check_the_first_end_counts(void) {
    struct platform platform = started();
    out(&platform, 0xf4, 3, 0);
    out(&platform, 0x64, 0xfe, 0);
    out(&platform, 0xf4, 0, 0);
    expect(platform.power.end == PLATFORM_EXIT && platform.power.exit_code == 3);
}

void check_whatever_a_guest_does_deadlines_are_to_come_and_interrupts_can_be_taken(void) {
    static const uint16_t bases[] = {0x20, 0xa0, 0x40, 0x60, 0x70, 0x3f8, 0x4d0, 0x90, 0xcf8};
    for (unsigned round = 0; round < 300; round++) {
        struct platform platform = round % 2 ? ready() : started();
        uint64_t now = random_below(8) ? random_below(1ull << 45) : random_number();
        for (unsigned step = 0; step < 4000; step++) {
            uint16_t port = (uint16_t)(bases[random_below(9)] + random_below(8));
            unsigned size = 1u << random_below(3);
            switch (random_below(8)) {
            case 0: platform_receive(&platform, (uint8_t)random_number()); break;
            case 1:
                if (platform.interrupt) {
                    platform_acknowledge(&platform, now);
                }
                break;
            case 2:
            case 3: platform_read(&platform, port, size, now); break;
            case 4: out(&platform, 0xa0, 0x20, now), out(&platform, 0x20, 0x20, now); break;
            default: platform_write(&platform, port, size, (uint32_t)random_number(), now); break;
            }
            now += random_below(1ull << random_below(33));
            platform_advance(&platform, now);
            expect(platform.deadline > now);
            expect_equal(platform.interrupt, pic_output(&platform.pic));
        }
    }
}
