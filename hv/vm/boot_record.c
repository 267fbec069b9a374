#include "vm/boot_record.h"

#include "core/boot_info.h"
#include "core/records.h"
#include "cpu/identify.h"
#include "vm/virt.h"

void vm_record_boot(void) {
    record_begin("boot");
    identify_record();
    record_number("memory", boot_info.memory_bytes);
    if (virt) {
        record_open("virtualization");
        virt->record();
        record_close();
    } else {
        record_text("virtualization", 0);
    }
    record_end();
}
