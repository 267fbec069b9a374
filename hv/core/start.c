/* The first C code: brings up what every image needs, in the order of dependence. */
#include "core/start.h"

#include "core/boot_info.h"
#include "core/console.h"
#include "core/pages.h"
#include "core/paging.h"
#include "core/records.h"
#include "core/time.h"
#include "cpu/descriptors.h"

noreturn void hv_start(uint32_t multiboot_information) {
    console_open();
    records_open();
    descriptors_start();
    time_start();
    boot_info_read(multiboot_information);
    pages_start();
    paging_start();
    image_main();
}
