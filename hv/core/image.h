/* This image itself: its extent in memory, and the build id that tells the harness what booted. */
#pragma once

#include <stdint.h>

/* Set by the linker script; page-aligned, physical and virtual. */
extern const char image_start[], image_text_end[], image_rodata_end[], image_data_end[],
    image_end[];

/* 40 hexadecimal digits: the linker's SHA-1 over the image. */
const char *image_build_id(void);
