/* Every basic exit reason of SDM 3D, appendix C: its name, what it means here, how its facts are read. */
#pragma once

#include <stdint.h>

#include "vm/exit.h"

struct exit_reason {
    const char *name;
    enum vm_exit_kind kind;
    void (*decode)(struct vm_exit *exit); /* NULL: there is nothing to read. May change the kind. */
};

enum { EXIT_REASONS = 78 };
extern const struct exit_reason exit_reasons[EXIT_REASONS]; /* reserved ones are all zero */

/* For a number that the manual does not have, a row that says so. */
const struct exit_reason *exit_reason(uint32_t basic);
