/* The writable fields that this processor's VMCS has, found by trying, and a value for each. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmx/instructions.h"

enum { MOST_FIELDS = 256 };

struct field_values {
    unsigned count;
    struct {
        uint32_t encoding;
        uint64_t value;
    } fields[MOST_FIELDS];
};

/* Reads the current VMCS: all fields but those of exit information, in the order of encodings. */
void field_values_read(struct field_values *values);

/* Writes all of them to the current VMCS. */
void field_values_write(const struct field_values *values);

/* NULL where this processor has no such field. */
const uint64_t *field_value(const struct field_values *values, uint32_t encoding);

/* Adds the object "fields" to the record being built. */
void field_values_record(const struct field_values *values);
