/* What the boot loader handed over, checked and copied out of its memory. */
#pragma once

#include <stdint.h>

enum { MAX_MODULES = 128, MAX_REGIONS = 32, STRING_SIZE = 4096 };

struct boot_module {
    uint64_t start, end; /* physical; end is one past the last byte */
    char string[STRING_SIZE];
};

struct memory_region {
    uint64_t start, end; /* usable RAM, in whole pages */
};

struct boot_info {
    char command_line[STRING_SIZE];
    struct boot_module modules[MAX_MODULES];
    unsigned module_count;
    struct memory_region memory[MAX_REGIONS];
    unsigned memory_count;
    uint64_t memory_bytes; /* the sum of the regions */
};

extern struct boot_info boot_info;

/* Reads the multiboot 1 information structure at this physical address; refuses a broken one. */
void boot_info_read(uint32_t address);
