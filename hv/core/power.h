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
 * Stops the machine as it is, with all output written, where an emulator can do that: Bochs in its
 * debugger, QEMU by its panic device. Returns when that lets it go on; elsewhere at once.
 */
void power_freeze(void);

/* Writes the `done` record first. `status` is one of ok, guest-crashed, refused, panic. */
noreturn void power_off_with_record(const char *status, enum power_code code);
noreturn void power_off(enum power_code code);
