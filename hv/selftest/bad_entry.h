/* Tables of what VM entry must refuse: each row spoils a VMCS that works, and takes it back. */
#pragma once

#include "selftest/machine.h"
#include "vmx/fields.h"

struct change {
    enum vmcs_field field;
    uint64_t clear, set;
};

struct bad_entry {
    const char *what;
    struct change changes[3]; /* up to the first without bits */
};

#define ALL (~0ull) /* of a field, for `clear` */

/* The entry failed as an instruction, with this number. */
void check_entry_error(const char *what, struct entry_result result, uint32_t error);

/* Rows with fields that this processor does not have are noted, and left out. At the end the VMCS must
 * enter as if nothing had been. */
void check_instruction_fails(const struct bad_entry *rows, unsigned count, uint32_t error);

/* The exit reason is this one with bit 31, and the guest did not run. Qualifications: 27.8. */
void check_entry_exits(const struct bad_entry *rows, unsigned count, uint32_t reason,
                       uint64_t qualification);
