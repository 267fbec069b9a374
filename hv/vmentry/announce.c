#include "vmentry/announce.h"

#include "core/records.h"
#include "vmentry/bases.h"
#include "vmentry/pages.h"
#include "vmx/dump.h"

void announce(void) {
    record_begin("vmentry");
    vmx_processor_record();
    pointed_pages_record();
    record_end();
    for (unsigned i = 0; i < BASES; i++) {
        record_begin("base");
        record_number("number", i);
        record_text("name", bases[i].name);
        record_flag("present", bases[i].present);
        if (bases[i].present) {
            record_hex("region", (uint64_t)bases[i].region);
            field_values_record(&bases[i].values);
        }
        record_end();
    }
    record_begin("ready");
    record_end();
}
