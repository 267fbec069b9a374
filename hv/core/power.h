/* The end of the machine, with a code that the harness reads. */
#pragma once

#include <stdint.h>
#include <stdnoreturn.h>

enum power_code {
    POWER_OK = 0,
    POWER_GUEST_CRASHED = 1, /* a guest was stopped, or could not be set up */
    POWER_REFUSED = 2,       /* this machine or these options can't be used */
    POWER_PANIC = 3,
};

/*
 * From now on, where a `done` record is written, the end waits until the harness has read what it wants
 * in memory and gives the command `power-off`; or for a minute, if there is nobody to do so.
 */
void power_wait_at_end(void);
void power_release(void); /* it was given */

/* Writes the `done` record first. `status` is one of ok, guest-crashed, refused, panic. */
noreturn void power_off_with_record(const char *status, enum power_code code);
noreturn void power_off(enum power_code code);
