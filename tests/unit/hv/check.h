/* Checks that run on the host; tests/unit/hosttest.py makes the table of them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct check {
    const char *name;
    void (*function)(void);
};

extern const struct check checks[];

/* Ends the process with the expression and where it stands. */
#define expect(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))
#define expect_equal(left, right) \
    check_equal(__FILE__, __LINE__, #left " == " #right, (uint64_t)(left), (uint64_t)(right))

void check_failed(const char *file, int line, const char *text);
void check_equal(const char *file, int line, const char *text, uint64_t left, uint64_t right);

/* Does the function call panic() or refuse()? Their stand-ins end the process at any other time. */
bool panics(void (*function)(void));

/* The same sequence each run, unless HOSTTEST_SEED is set to another number. */
uint64_t random_number(void);
uint64_t random_below(uint64_t limit);
