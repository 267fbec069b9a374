/* Multiboot 1, as the specification (version 0.6.96) lays it out. All addresses are physical. */
#pragma once

#define MULTIBOOT_HEADER_MAGIC 0x1badb002
#define MULTIBOOT_LOADER_MAGIC 0x2badb002

/* Header flags (3.1.2): page-aligned modules, memory information, address fields present. */
#define MULTIBOOT_HEADER_FLAGS 0x00010003

#ifndef __ASSEMBLER__
#include <assert.h>
#include <stdint.h>

enum multiboot_info_flag {
    MULTIBOOT_INFO_MEMORY = 1 << 0,
    MULTIBOOT_INFO_COMMAND_LINE = 1 << 2,
    MULTIBOOT_INFO_MODULES = 1 << 3,
    MULTIBOOT_INFO_MEMORY_MAP = 1 << 6,
};

struct multiboot_info {
    uint32_t flags;
    uint32_t mem_lower;
    uint32_t mem_upper;
    uint32_t boot_device;
    uint32_t command_line;
    uint32_t modules_count;
    uint32_t modules_address;
    uint32_t symbols[4];
    uint32_t memory_map_length;
    uint32_t memory_map_address;
};
static_assert(sizeof(struct multiboot_info) == 52, "multiboot 1, section 3.3");

struct multiboot_module {
    uint32_t start;
    uint32_t end; /* one past the last byte */
    uint32_t string;
    uint32_t reserved;
};
static_assert(sizeof(struct multiboot_module) == 16, "multiboot 1, section 3.3");

enum { MULTIBOOT_MEMORY_AVAILABLE = 1 };

struct multiboot_memory_region {
    uint32_t size; /* of the rest of this entry */
    uint64_t address;
    uint64_t length;
    uint32_t type;
} __attribute__((packed));
static_assert(sizeof(struct multiboot_memory_region) == 24, "multiboot 1, section 3.3");
#endif
