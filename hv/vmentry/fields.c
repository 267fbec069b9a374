#include "vmentry/fields.h"

#include "core/format.h"
#include "core/panic.h"
#include "core/records.h"
#include "cpu/msr.h"

/* SDM 3C 25.11.2: the parts of an encoding. */
enum { WIDTH_SHIFT = 13, AREA_SHIFT = 10, INDEX_SHIFT = 1, AREA_EXIT_INFORMATION = 1 };

void field_values_read(struct field_values *values) {
    const uint32_t last = (uint32_t)rdmsr(IA32_VMX_VMCS_ENUM) >> 1 & 0x1ff; /* A.9 */
    values->count = 0;
    for (uint32_t high = 0; high < 16; high++) { /* width and area */
        if ((high & 3) == AREA_EXIT_INFORMATION) {
            continue;
        }
        for (uint32_t index = 0; index <= last; index++) {
            uint32_t encoding =
                (high >> 2) << WIDTH_SHIFT | (high & 3) << AREA_SHIFT | index << INDEX_SHIFT;
            uint64_t value;
            if (vmread(encoding, &value) != VMX_SUCCEED) {
                continue; /* this processor does not have it */
            }
            if (values->count == MOST_FIELDS) {
                panic("this processor's VMCS has more than %d fields", MOST_FIELDS);
            }
            values->fields[values->count].encoding = encoding;
            values->fields[values->count++].value = value;
        }
    }
}

void field_values_write(const struct field_values *values) {
    for (unsigned i = 0; i < values->count; i++) {
        if (vmwrite(values->fields[i].encoding, values->fields[i].value) != VMX_SUCCEED) {
            panic("field 0x%04x could be read but not written", values->fields[i].encoding);
        }
    }
}

const uint64_t *field_value(const struct field_values *values, uint32_t encoding) {
    unsigned low = 0, high = values->count; /* binary search: they are in order */
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (values->fields[middle].encoding == encoding) {
            return &values->fields[middle].value;
        }
        if (values->fields[middle].encoding < encoding) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return 0;
}

void field_values_record(const struct field_values *values) {
    record_open("fields");
    for (unsigned i = 0; i < values->count; i++) {
        char name[8];
        format(name, sizeof name, "0x%04x", values->fields[i].encoding);
        record_hex(name, values->fields[i].value);
    }
    record_close();
}
