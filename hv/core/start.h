/* Where start.S hands over to C, and where C hands over to the image's own purpose. */
#pragma once

#include <stdint.h>
#include <stdnoreturn.h>

noreturn void hv_start(uint32_t multiboot_information);

/* main.c for the hypervisor, probe.c for the probe. */
noreturn void image_main(void);
