/* dev/pic.c against Intel's 8259A data sheet; random traffic at the end. */
#include "dev/pic.h"

#include "check.h"

enum { MASTER = 0x20, SLAVE = 0xa0, MASTER_VECTOR = 0x30, SLAVE_VECTOR = 0x38 };
enum { AUTO_END = 2, SPECIAL_FULLY_NESTED = 16 };
enum { END = 0x20, END_ROTATING = 0xa0, END_OF = 0x60, END_OF_ROTATING = 0xe0, LOWEST_IS = 0xc0 };
enum { READ_IRR = 0x0a, READ_ISR = 0x0b, POLL = 0x0c, SPECIAL_MASK = 0x68, NORMAL_MASK = 0x48 };
enum { ROTATE_ON_AUTO_END = 0x80, NO_ROTATE_ON_AUTO_END = 0x00 };

static void initialize(struct pic *pic, uint16_t port, uint8_t vector, uint8_t icw3, uint8_t icw4) {
    pic_write(pic, port, 0x11);
    pic_write(pic, port + 1, vector);
    pic_write(pic, port + 1, icw3);
    pic_write(pic, port + 1, icw4 | 1);
}

static struct pic ready_with(uint8_t master_icw4, uint8_t slave_icw4) {
    struct pic pic;
    pic_start(&pic);
    initialize(&pic, MASTER, MASTER_VECTOR, 4, master_icw4);
    initialize(&pic, SLAVE, SLAVE_VECTOR, 2, slave_icw4);
    return pic;
}

static struct pic ready(void) {
    return ready_with(0, 0);
}

static void pulse(struct pic *pic, unsigned line) {
    pic_set_line(pic, line, false);
    pic_set_line(pic, line, true);
}

static uint8_t read_irr(struct pic *pic, uint16_t port) {
    pic_write(pic, port, READ_IRR);
    return pic_read(pic, port);
}

static uint8_t read_isr(struct pic *pic, uint16_t port) {
    pic_write(pic, port, READ_ISR);
    return pic_read(pic, port);
}

static void expect_interrupt(struct pic *pic, unsigned vector) {
    expect(pic_output(pic));
    expect_equal(pic_acknowledge(pic), vector);
}

static void end(struct pic *pic, unsigned line) {
    if (line >= 8) {
        pic_write(pic, SLAVE, END);
    }
    pic_write(pic, MASTER, END);
}

void check_nothing_comes_through_before_it_is_initialized(void) {
    struct pic pic;
    pic_start(&pic);
    for (unsigned line = 0; line < PIC_LINES; line++) {
        pulse(&pic, line);
    }
    expect(!pic_output(&pic));
}

void check_each_line_has_the_vector_that_icw2_gave_its_chip(void) {
    for (unsigned line = 0; line < PIC_LINES; line++) {
        if (line != 2) {
            struct pic pic = ready();
            pulse(&pic, line);
            expect_interrupt(&pic, MASTER_VECTOR + line);
            expect(!pic_output(&pic));
            end(&pic, line);
            expect_equal(read_isr(&pic, MASTER) | read_isr(&pic, SLAVE), 0);
        }
    }
}

void check_icw2s_lower_bits_are_the_inputs(void) {
    struct pic pic = ready();
    initialize(&pic, MASTER, MASTER_VECTOR | 5, 4, 0);
    pulse(&pic, 3);
    expect_interrupt(&pic, MASTER_VECTOR + 3);
}

void check_a_line_that_stays_high_interrupts_once(void) {
    struct pic pic = ready();
    pulse(&pic, 1);
    expect_interrupt(&pic, MASTER_VECTOR + 1);
    end(&pic, 1);
    pic_set_line(&pic, 1, true);
    expect(!pic_output(&pic));
    pulse(&pic, 1);
    expect_interrupt(&pic, MASTER_VECTOR + 1);
}

void check_edges_while_one_is_requested_are_one(void) {
    struct pic pic = ready();
    pulse(&pic, 0), pulse(&pic, 0), pulse(&pic, 0);
    expect_interrupt(&pic, MASTER_VECTOR);
    end(&pic, 0);
    expect(!pic_output(&pic));
}

void check_an_edge_while_one_is_in_service_waits_for_its_end(void) {
    struct pic pic = ready();
    pulse(&pic, 0);
    expect_interrupt(&pic, MASTER_VECTOR);
    pulse(&pic, 0);
    expect(!pic_output(&pic));
    end(&pic, 0);
    expect_interrupt(&pic, MASTER_VECTOR);
}

void check_a_level_interrupts_until_its_line_falls(void) {
    struct pic pic = ready();
    pic_write(&pic, 0x4d0, 0x20);
    pic_set_line(&pic, 5, true);
    for (unsigned i = 0; i < 3; i++) {
        expect_interrupt(&pic, MASTER_VECTOR + 5);
        end(&pic, 5);
    }
    pic_set_line(&pic, 5, false);
    expect(!pic_output(&pic));
}

void check_timer_keyboard_cascade_clock_and_coprocessor_stay_edge_triggered(void) {
    struct pic pic = ready();
    pic_write(&pic, 0x4d0, 0xff), pic_write(&pic, 0x4d1, 0xff);
    expect_equal(pic_read(&pic, 0x4d0), 0xf8);
    expect_equal(pic_read(&pic, 0x4d1), 0xde);
}

void check_a_request_goes_with_its_line_and_leaves_a_spurious_interrupt(void) {
    struct pic pic = ready();
    pulse(&pic, 4);
    pic_set_line(&pic, 4, false);
    expect(!pic_output(&pic));
    expect_equal(pic_acknowledge(&pic), MASTER_VECTOR + 7);
    expect_equal(read_isr(&pic, MASTER), 0);
}

void check_the_slaves_spurious_interrupt_is_15_and_in_service_at_the_master_alone(void) {
    struct pic pic = ready();
    pulse(&pic, 12);
    pic.slave.request = 0; /* between the two INTA cycles, where nobody can be in this program */
    expect_equal(pic_acknowledge(&pic), SLAVE_VECTOR + 7);
    expect_equal(read_isr(&pic, SLAVE), 0);
    expect_equal(read_isr(&pic, MASTER), 4);
}

void check_a_masked_line_requests_and_interrupts_when_it_is_unmasked(void) {
    struct pic pic = ready();
    pic_write(&pic, MASTER + 1, 0x08);
    expect_equal(pic_read(&pic, MASTER + 1), 0x08);
    pulse(&pic, 3);
    expect(!pic_output(&pic));
    expect_equal(read_irr(&pic, MASTER), 0x08);
    pic_write(&pic, MASTER + 1, 0);
    expect_interrupt(&pic, MASTER_VECTOR + 3);
}

void check_masking_the_cascade_masks_the_slave(void) {
    struct pic pic = ready();
    pic_write(&pic, MASTER + 1, 0x04);
    pulse(&pic, 9);
    expect(!pic_output(&pic));
    pic_write(&pic, MASTER + 1, 0);
    expect_interrupt(&pic, SLAVE_VECTOR + 1);
}

void check_higher_ones_interrupt_lower_ones_and_lower_ones_wait(void) {
    struct pic pic = ready();
    pulse(&pic, 6), pulse(&pic, 4), pulse(&pic, 10);
    expect_interrupt(&pic, SLAVE_VECTOR + 2); /* through input 2: before 4 and 6 */
    expect(!pic_output(&pic));
    pulse(&pic, 1);
    expect_interrupt(&pic, MASTER_VECTOR + 1);
    expect_equal(read_isr(&pic, MASTER), 0x06);
    pic_write(&pic, MASTER, END);
    expect_equal(read_isr(&pic, MASTER), 0x04);
    end(&pic, 10);
    expect_interrupt(&pic, MASTER_VECTOR + 4);
    end(&pic, 4);
    expect_interrupt(&pic, MASTER_VECTOR + 6);
}

void check_a_specific_end_ends_that_one(void) {
    struct pic pic = ready();
    pulse(&pic, 5);
    expect_interrupt(&pic, MASTER_VECTOR + 5);
    pulse(&pic, 3);
    expect_interrupt(&pic, MASTER_VECTOR + 3);
    pic_write(&pic, MASTER, END_OF | 5);
    expect_equal(read_isr(&pic, MASTER), 0x08);
}

void check_automatic_ends_leave_nothing_in_service(void) {
    struct pic pic = ready_with(AUTO_END, AUTO_END);
    pulse(&pic, 9), pulse(&pic, 11), pulse(&pic, 7);
    expect_interrupt(&pic, SLAVE_VECTOR + 1);
    expect_equal(read_isr(&pic, MASTER) | read_isr(&pic, SLAVE), 0);
    expect_interrupt(&pic, SLAVE_VECTOR + 3);
    expect_interrupt(&pic, MASTER_VECTOR + 7);
    expect(!pic_output(&pic));
}

void check_rotation_at_the_end_puts_the_one_that_was_served_last(void) {
    struct pic pic = ready();
    pulse(&pic, 4), pulse(&pic, 6);
    expect_interrupt(&pic, MASTER_VECTOR + 4);
    pic_write(&pic, MASTER, END_ROTATING);
    pulse(&pic, 4), pulse(&pic, 5);
    expect_interrupt(&pic,
                     MASTER_VECTOR + 5); /* the data sheet's figure: 5 is highest now, 4 lowest */
    pic_write(&pic, MASTER, END_ROTATING);
    expect_interrupt(&pic, MASTER_VECTOR + 6);
    pic_write(&pic, MASTER, END_OF_ROTATING | 6);
    expect_interrupt(&pic, MASTER_VECTOR + 4);
}

void check_set_priority_says_which_is_lowest(void) {
    struct pic pic = ready();
    pic_write(&pic, MASTER, LOWEST_IS | 5);
    pulse(&pic, 0), pulse(&pic, 5), pulse(&pic, 6);
    expect_interrupt(&pic, MASTER_VECTOR + 6);
    end(&pic, 6);
    expect_interrupt(&pic, MASTER_VECTOR + 0);
    end(&pic, 0);
    expect_interrupt(&pic, MASTER_VECTOR + 5);
}

void check_automatic_ends_rotate_when_asked_to(void) {
    struct pic pic = ready_with(AUTO_END, 0);
    pic_write(&pic, MASTER, ROTATE_ON_AUTO_END);
    pulse(&pic, 3);
    expect_interrupt(&pic, MASTER_VECTOR + 3);
    pulse(&pic, 3), pulse(&pic, 6);
    expect_interrupt(&pic, MASTER_VECTOR + 6);
    pic_write(&pic, MASTER, NO_ROTATE_ON_AUTO_END);
    pulse(&pic, 7);
    expect_interrupt(&pic, MASTER_VECTOR + 7); /* 6 is lowest still, and 3 comes after 7 */
    expect_interrupt(&pic, MASTER_VECTOR + 3);
}

void check_special_mask_mode_lets_through_what_the_masked_one_in_service_held_back(void) {
    struct pic pic = ready();
    pulse(&pic, 4);
    expect_interrupt(&pic, MASTER_VECTOR + 4);
    pulse(&pic, 6);
    pic_write(&pic, MASTER + 1, 0x10);
    expect(!pic_output(&pic));
    pic_write(&pic, MASTER, SPECIAL_MASK);
    expect_interrupt(&pic, MASTER_VECTOR + 6);
    pic_write(&pic, MASTER, END); /* spares what is masked */
    expect_equal(read_isr(&pic, MASTER), 0x10);
    pic_write(&pic, MASTER, END);
    expect_equal(read_isr(&pic, MASTER), 0x10);
    pic_write(&pic, MASTER, NORMAL_MASK);
    pic_write(&pic, MASTER, END);
    expect_equal(read_isr(&pic, MASTER), 0);
}

void check_polling_acknowledges_and_says_which(void) {
    struct pic pic = ready();
    pulse(&pic, 10);
    pic_write(&pic, MASTER, POLL);
    expect_equal(pic_read(&pic, MASTER), 0x82);
    pic_write(&pic, SLAVE, POLL);
    expect_equal(pic_read(&pic, SLAVE), 0x82);
    expect_equal(read_isr(&pic, MASTER), 0x04);
    expect_equal(read_isr(&pic, SLAVE), 0x04);
    expect(!pic_output(&pic));
    pic_write(&pic, SLAVE, POLL);
    expect_equal(pic_read(&pic, SLAVE) & 0x80, 0);
}

void check_a_poll_is_for_one_read(void) {
    struct pic pic = ready();
    pic_write(&pic, MASTER, READ_ISR);
    pulse(&pic, 5);
    pic_write(&pic, MASTER, POLL);
    expect_equal(pic_read(&pic, MASTER), 0x85);
    expect_equal(pic_read(&pic, MASTER), 0x20); /* ISR again */
}

void check_a_better_one_of_the_slave_waits_unless_specially_fully_nested(void) {
    struct pic pic = ready();
    pulse(&pic, 12);
    expect_interrupt(&pic, SLAVE_VECTOR + 4);
    pulse(&pic, 9);
    expect(!pic_output(&pic));
    pic = ready_with(SPECIAL_FULLY_NESTED, 0);
    pulse(&pic, 12);
    expect_interrupt(&pic, SLAVE_VECTOR + 4);
    pulse(&pic, 14);
    expect(!pic_output(&pic));
    pulse(&pic, 9);
    expect_interrupt(&pic, SLAVE_VECTOR + 1);
    pulse(&pic, 4);
    expect(!pic_output(&pic)); /* the slave alone is let through, not what comes after it */
    pulse(&pic, 1);
    expect_interrupt(&pic, MASTER_VECTOR + 1);
}

void check_icw1_forgets_mask_service_rotation_and_edges(void) {
    struct pic pic = ready();
    pulse(&pic, 5);
    expect_interrupt(&pic, MASTER_VECTOR + 5);
    pulse(&pic, 6);
    pic_write(&pic, MASTER, LOWEST_IS | 2);
    pic_write(&pic, MASTER + 1, 0x0f);
    pic_write(&pic, MASTER, READ_ISR);
    initialize(&pic, MASTER, 0x50, 4, 0);
    expect_equal(pic_read(&pic, MASTER + 1), 0);
    expect_equal(pic_read(&pic, MASTER),
                 0); /* IRR, not ISR: and line 6, still high, needs an edge */
    expect_equal(read_isr(&pic, MASTER), 0);
    pulse(&pic, 0), pulse(&pic, 6);
    expect_interrupt(&pic, 0x50);
}

void check_icw1_says_which_words_follow(void) {
    struct pic pic = ready();
    pic_write(&pic, MASTER, 0x12); /* alone, no ICW4 */
    pic_write(&pic, MASTER + 1, 0x40);
    pic_write(&pic, MASTER + 1, 0xa5);
    expect_equal(pic_read(&pic, MASTER + 1), 0xa5);
    pic_write(&pic, MASTER, 0x13);
    pic_write(&pic, MASTER + 1, 0x40);
    pic_write(&pic, MASTER + 1, 0x03);
    pic_write(&pic, MASTER + 1, 0x5a);
    expect_equal(pic_read(&pic, MASTER + 1), 0x5a);
    pic_write(&pic, MASTER, 0x10);
    pic_write(&pic, MASTER + 1, 0x40);
    pic_write(&pic, MASTER + 1, 0x04);
    pic_write(&pic, MASTER + 1, 0x3c);
    expect_equal(pic_read(&pic, MASTER + 1), 0x3c);
}

void check_whatever_is_written_an_announced_interrupt_is_a_requested_unmasked_one(void) {
    struct pic pic;
    pic_start(&pic);
    for (unsigned step = 0; step < 2000000; step++) {
        static const uint16_t ports[] = {0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1};
        uint16_t port = ports[random_below(6)];
        switch (random_below(5)) {
        case 0: pic_write(&pic, port, (uint8_t)random_number()); break;
        case 1: pic_read(&pic, port); break;
        case 2: pic_set_line(&pic, (unsigned)random_below(16), random_below(2)); break;
        case 3: pic_write(&pic, random_below(2) ? MASTER : SLAVE, END); break;
        default: {
            bool any = pic_output(&pic);
            uint8_t requested = pic.master.request & (uint8_t)~pic.master.mask;
            expect(!any || requested);
            uint8_t vector = pic_acknowledge(&pic);
            if (any && !(requested >> 2 & 1)) {
                expect(requested >> (vector & 7) & 1);
                expect_equal(vector & 0xf8, pic.master.vector);
            }
            break;
        }
        }
    }
}
