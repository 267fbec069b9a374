/* dev/uart.c against National's PC16550D data sheet. */
#include "dev/uart.h"

#include <string.h>

#include "check.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH, FCR = IIR };
enum { OUT2 = 8, LOOP = 16, RECEIVED = 1, SENT = 2, LINE_STATUS = 4, MODEM_STATUS = 8 };

static char printed[64];
static unsigned printed_count;

static void put(void *context, uint8_t byte) {
    (void)context;
    printed[printed_count++ % sizeof printed] = (char)byte;
}

static struct uart started(void) {
    struct uart uart;
    uart_start(&uart, put, 0);
    printed_count = 0;
    return uart;
}

/* With interrupts that get through. */
static struct uart enabled(uint8_t interrupts) {
    struct uart uart = started();
    uart_write(&uart, MCR, OUT2);
    uart_write(&uart, IER, interrupts);
    return uart;
}

void check_what_is_written_is_printed_and_there_is_always_room(void) {
    struct uart uart = started();
    for (const char *c = "hello"; *c; c++) {
        expect_equal(uart_read(&uart, LSR), 0x60);
        uart_write(&uart, DATA, (uint8_t)*c);
    }
    expect(printed_count == 5 && memcmp(printed, "hello", 5) == 0);
}

void check_the_divisor_is_behind_dlab_and_prints_nothing(void) {
    struct uart uart = started();
    uart_write(&uart, IER, 5);
    uart_write(&uart, LCR, 0x83);
    uart_write(&uart, DATA, 0x34), uart_write(&uart, IER, 0x12);
    expect_equal(uart_read(&uart, DATA), 0x34);
    expect_equal(uart_read(&uart, IER), 0x12);
    uart_write(&uart, LCR, 0x03);
    expect_equal(uart_read(&uart, IER), 5);
    expect_equal(printed_count, 0);
}

void check_registers_keep_the_bits_that_they_have(void) {
    struct uart uart = started();
    static const uint8_t all[][2] = {{IER, 0x0f}, {LCR, 0xff}, {MCR, 0x1f}, {SCRATCH, 0xff}};
    for (unsigned i = 0; i < 4; i++) {
        uart_write(&uart, LCR, 0);
        uart_write(&uart, all[i][0], 0xff);
        expect_equal(uart_read(&uart, all[i][0]), all[i][1]);
    }
}

void check_the_ident_shows_whether_there_are_fifos(void) {
    struct uart uart = started();
    expect_equal(uart_read(&uart, IIR), 0x01);
    uart_write(&uart, FCR, 0x01);
    expect_equal(uart_read(&uart, IIR), 0xc1);
    uart_write(&uart, FCR, 0x00);
    expect_equal(uart_read(&uart, IIR), 0x01);
}

void check_it_takes_sixteen_bytes_with_fifos_and_one_without(void) {
    for (unsigned fifo = 0; fifo < 2; fifo++) {
        struct uart uart = started();
        uart_write(&uart, FCR, (uint8_t)fifo);
        unsigned taken = 0;
        while (uart_has_room(&uart)) {
            expect(uart_receive(&uart, (uint8_t)('a' + taken++)));
        }
        expect_equal(taken, fifo ? 16 : 1);
        expect(!uart_receive(&uart, '!'));
        for (unsigned i = 0; i < taken; i++) {
            expect_equal(uart_read(&uart, LSR), 0x61); /* and no overrun */
            expect_equal(uart_read(&uart, DATA), 'a' + i);
            expect(uart_has_room(&uart));
        }
        expect_equal(uart_read(&uart, LSR), 0x60);
    }
}

void check_a_byte_that_comes_in_interrupts_until_it_is_read(void) {
    struct uart uart = enabled(RECEIVED);
    expect(!uart_interrupt(&uart));
    uart_receive(&uart, 'x');
    expect(uart_interrupt(&uart));
    expect_equal(uart_read(&uart, IIR), 0x04);
    expect(uart_interrupt(&uart));
    expect_equal(uart_read(&uart, DATA), 'x');
    expect(!uart_interrupt(&uart));
}

void check_the_trigger_level_tells_data_from_a_time_out(void) {
    static const uint8_t levels[] = {1, 4, 8, 14};
    for (unsigned i = 0; i < 4; i++) {
        struct uart uart = enabled(RECEIVED);
        uart_write(&uart, FCR, (uint8_t)(i << 6 | 1));
        for (unsigned count = 1; count <= 16; count++) {
            uart_receive(&uart, 'x');
            expect(uart_interrupt(&uart));
            expect_equal(uart_read(&uart, IIR), count >= levels[i] ? 0xc4 : 0xcc);
        }
        for (unsigned count = 15; count; count--) {
            uart_read(&uart, DATA);
            expect_equal(uart_read(&uart, IIR), count >= levels[i] ? 0xc4 : 0xcc);
        }
        uart_read(&uart, DATA);
        expect_equal(uart_read(&uart, IIR), 0xc1);
    }
}

void check_clearing_or_switching_fifos_empties_them(void) {
    static const uint8_t commands[] = {0x03, 0x00};
    for (unsigned i = 0; i < 2; i++) {
        struct uart uart = enabled(RECEIVED);
        uart_write(&uart, FCR, 0x01);
        uart_receive(&uart, 'x'), uart_receive(&uart, 'y');
        uart_write(&uart, FCR, commands[i]);
        expect_equal(uart_read(&uart, LSR), 0x60);
        expect(!uart_interrupt(&uart));
        uart_receive(&uart, 'z');
        expect_equal(uart_read(&uart, DATA), 'z');
    }
}

void check_commands_to_fifos_that_are_off_mean_nothing(void) {
    struct uart uart = enabled(RECEIVED);
    uart_receive(&uart, 'x');
    uart_write(&uart, FCR, 0x02);
    expect_equal(uart_read(&uart, LSR), 0x61);
    expect(uart_interrupt(&uart));
    expect_equal(uart_read(&uart, DATA), 'x');
}

void check_enabling_the_sent_interrupt_raises_it_and_reading_it_clears_it(void) {
    struct uart uart = enabled(0);
    uart_write(&uart, IER, SENT);
    expect(uart_interrupt(&uart));
    expect_equal(uart_read(&uart, IIR), 0x02);
    expect(!uart_interrupt(&uart));
    expect_equal(uart_read(&uart, IIR), 0x01);
    uart_write(&uart, IER, SENT); /* enabled already */
    expect(!uart_interrupt(&uart));
    uart_write(&uart, IER, 0), uart_write(&uart, IER, SENT); /* Linux's probe of bad chips */
    expect(uart_interrupt(&uart));
}

void check_each_write_is_followed_by_one_sent_interrupt(void) {
    struct uart uart = enabled(SENT);
    uart_read(&uart, IIR);
    for (unsigned i = 0; i < 3; i++) {
        uart_write(&uart, DATA, 'x');
        expect(uart_interrupt(&uart));
        expect_equal(uart_read(&uart, IIR), 0x02);
        expect(!uart_interrupt(&uart));
    }
}

void check_reading_another_interrupt_leaves_the_sent_one(void) {
    struct uart uart = enabled(SENT | RECEIVED);
    uart_receive(&uart, 'x');
    expect_equal(uart_read(&uart, IIR), 0x04);
    uart_read(&uart, DATA);
    expect_equal(uart_read(&uart, IIR), 0x02);
}

void check_interrupts_are_told_in_the_data_sheets_order(void) {
    struct uart uart = enabled(0);
    uart_write(&uart, FCR, 0x01);
    uart_write(&uart, MCR, LOOP | OUT2);
    for (unsigned i = 0; i < 17; i++) {
        uart_write(&uart, DATA, 'x'); /* one more than there is room for */
    }
    uart_write(&uart, MCR, OUT2); /* modem lines change */
    uart_write(&uart, IER, RECEIVED | SENT | LINE_STATUS | MODEM_STATUS);
    expect_equal(uart_read(&uart, IIR), 0xc6);
    expect_equal(uart_read(&uart, LSR), 0x63);
    expect_equal(uart_read(&uart, LSR), 0x61);
    expect_equal(uart_read(&uart, IIR), 0xc4);
    uart_write(&uart, FCR, 0x03);
    expect_equal(uart_read(&uart, IIR), 0xc2);
    expect_equal(uart_read(&uart, IIR), 0xc0);
    expect(uart_read(&uart, MSR) & 0x0f);
    expect_equal(uart_read(&uart, IIR), 0xc1);
}

void check_without_out2_nothing_gets_through(void) {
    struct uart uart = enabled(RECEIVED);
    uart_receive(&uart, 'x');
    uart_write(&uart, MCR, 0);
    expect(!uart_interrupt(&uart));
    expect_equal(uart_read(&uart, IIR), 0x04);
    uart_write(&uart, MCR, OUT2);
    expect(uart_interrupt(&uart));
}

void check_in_loop_mode_it_talks_to_itself_alone(void) {
    struct uart uart = started();
    uart_write(&uart, FCR, 0x01);
    uart_write(&uart, MCR, LOOP);
    uart_write(&uart, DATA, 'x');
    expect_equal(printed_count, 0);
    expect(!uart_has_room(&uart) && !uart_receive(&uart, 'y'));
    expect_equal(uart_read(&uart, DATA), 'x');
    expect_equal(uart_read(&uart, LSR), 0x60);
}

void check_in_loop_mode_the_modems_outputs_are_its_inputs(void) {
    /* MCR's DTR, RTS, OUT1, OUT2 are MSR's DSR, CTS, RI, DCD */
    static const uint8_t inputs[] = {0x20, 0x10, 0x40, 0x80};
    struct uart uart = started();
    uart_write(&uart, MCR, LOOP);
    uart_read(&uart, MSR);
    for (unsigned i = 0; i < 4; i++) {
        uart_write(&uart, MCR, (uint8_t)(LOOP | 1 << i));
        uint8_t delta = inputs[i] == 0x40 ? 0 : inputs[i] >> 4;
        expect_equal(uart_read(&uart, MSR), inputs[i] | delta);
        expect_equal(uart_read(&uart, MSR), inputs[i]);
        uart_write(&uart, MCR, LOOP);
        expect_equal(uart_read(&uart, MSR), inputs[i] >> 4); /* of RI its end is told */
    }
}

void check_a_terminal_that_is_ready_is_there(void) {
    struct uart uart = started();
    expect_equal(uart_read(&uart, MSR), 0xb0);
}

void check_whatever_is_written_a_driver_of_interrupts_comes_to_an_end(void) {
    struct uart uart = started();
    for (unsigned step = 0; step < 1000000; step++) {
        unsigned offset = (unsigned)random_below(8);
        switch (random_below(4)) {
        case 0: uart_receive(&uart, (uint8_t)random_number()); break;
        case 1: uart_read(&uart, offset); break;
        default: uart_write(&uart, offset, (uint8_t)random_number()); break;
        }
        if (step % 16 == 0) { /* what such a driver does */
            uart_write(&uart, LCR, 3);
            unsigned served = 0;
            for (; !(uart_read(&uart, IIR) & 1); served++) {
                uart_read(&uart, LSR), uart_read(&uart, DATA), uart_read(&uart, MSR);
            }
            expect(served <= 17);
            expect(!uart_interrupt(&uart));
        }
    }
}
