/* core/steady.c: which measurement is believed. */
#include "core/steady.h"

#include "check.h"

static const uint64_t *left;
static unsigned count;

static uint64_t next(void) {
    count++;
    return *left++;
}

static uint64_t steady_of(const uint64_t *values) {
    left = values;
    count = 0;
    return steady(next);
}

void check_two_that_agree_are_believed_at_once(void) {
    expect_equal(steady_of((uint64_t[]){2800, 2810}), 2800);
    expect_equal(count, 2);
}

void check_a_measurement_that_was_interrupted_is_not_believed(void) {
    expect_equal(steady_of((uint64_t[]){28907, 2800, 2801}), 2800);
    expect_equal(steady_of((uint64_t[]){2800, 28907, 2801, 2800}), 2800);
}

void check_nor_is_one_that_began_late(void) {
    expect_equal(steady_of((uint64_t[]){300, 2800, 2801}), 2800);
}

void check_what_never_agrees_ends_after_a_while(void) {
    uint64_t values[STEADY_ATTEMPTS];
    for (unsigned i = 0; i < STEADY_ATTEMPTS; i++) {
        values[i] = 1000 + i % 2 * 500;
    }
    expect_equal(steady_of(values), 1000);
    expect_equal(count, STEADY_ATTEMPTS);
}

void check_who_can_not_measure_is_asked_once(void) {
    expect_equal(steady_of((uint64_t[]){0}), 0);
    expect_equal(count, 1);
}
