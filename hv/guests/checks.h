/* Named checks in a guest: a line each on its console, one report for all of them at the end. */
#pragma once

#include "guests/runtime.h"

static unsigned checks_made, checks_failed;

static inline void check(const char *name, bool passed) {
    checks_made++;
    checks_failed += !passed;
    print(passed ? "ok " : "FAILED ");
    print(name);
    print("\n");
}

/* What guest_main returns: 0 if all passed. The report's value is the number of checks. */
static inline int checks_done(void) {
    report(checks_failed == 0, checks_made);
    return checks_failed != 0;
}
