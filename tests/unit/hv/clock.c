/* vm/clock.c: a guest's own time. */
#include "vm/clock.h"

#include "check.h"

void check_a_clock_starts_at_zero_and_does_not_run(void) {
    struct clock clock = {0};
    expect_equal(clock_read(&clock, 1000), 0);
    expect_equal(clock_read(&clock, 2000), 0);
}

void check_a_clock_that_runs_keeps_pace_with_the_processor(void) {
    struct clock clock = {0};
    clock_go(&clock, 1000);
    expect_equal(clock_read(&clock, 1000), 0);
    expect_equal(clock_read(&clock, 1234), 234);
    clock_go(&clock, 1300); /* it runs already */
    expect_equal(clock_read(&clock, 1300), 300);
}

void check_a_clock_stands_still_between_two_turns(void) {
    struct clock clock = {0};
    clock_go(&clock, 1000);
    clock_stop(&clock, clock_read(&clock, 1500));
    expect_equal(clock_read(&clock, 9000), 500);
    clock_go(&clock, 9000);
    expect_equal(clock_read(&clock, 9000), 500);
    expect_equal(clock_read(&clock, 9001), 501);
}

void check_a_clock_can_stop_at_a_moment_that_has_passed(void) {
    struct clock clock = {0};
    clock_go(&clock, 1000);
    clock_stop(&clock, 300); /* what woke the guest was due then, and it is 2000 by now */
    clock_go(&clock, 2000);
    expect_equal(clock_read(&clock, 2000), 300);
}

void check_what_is_skipped_passes_for_the_processor_only(void) {
    struct clock clock = {0};
    clock_go(&clock, 1000);
    clock_skip(&clock, 100);
    expect_equal(clock_read(&clock, 1150), 50);
    clock_stop(&clock, 50);
    clock_skip(&clock, 100); /* it stands still anyway */
    expect_equal(clock_read(&clock, 5000), 50);
}

void check_a_time_of_the_guest_has_its_time_of_the_processor(void) {
    struct clock clock = {0};
    clock_go(&clock, 1000);
    clock_skip(&clock, 100);
    uint64_t tsc = clock_when(&clock, 700);
    expect_equal(tsc, 1800);
    expect_equal(clock_read(&clock, tsc), 700);
    expect_equal(clock_when(&clock, UINT64_MAX), UINT64_MAX);
    expect_equal(clock_when(&clock, UINT64_MAX - 5), UINT64_MAX); /* no wrap: it never comes */
}
