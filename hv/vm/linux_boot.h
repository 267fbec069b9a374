/* The Linux/x86 boot protocol's structures, as Documentation/arch/x86/boot.rst lays them out. */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LINUX_SETUP_HEADER = 0x1f1, /* its offset, in the file and in boot_params */
    LINUX_BOOT_FLAG = 0xaa55,
    LINUX_MAGIC = 0x53726448, /* "HdrS" */
    LINUX_VERSION = 0x020a,   /* the oldest with pref_address and init_size */
    LINUX_LOADED_HIGH = 1 << 0,
    LINUX_LOADER_UNDEFINED = 0xff, /* type_of_loader: no assigned id */
    LINUX_E820_RAM = 1,
};

/* As of version 2.10; the fields that later ones add behind it are copied and not read. */
struct linux_setup_header {
    uint8_t setup_sects;
    uint16_t root_flags;
    uint32_t syssize;
    uint16_t ram_size, vid_mode, root_dev, boot_flag;
    uint8_t jump_opcode, jump_offset;
    uint32_t header;
    uint16_t version;
    uint32_t realmode_swtch;
    uint16_t start_sys_seg, kernel_version;
    uint8_t type_of_loader, loadflags;
    uint16_t setup_move_size;
    uint32_t code32_start, ramdisk_image, ramdisk_size, bootsect_kludge;
    uint16_t heap_end_ptr;
    uint8_t ext_loader_ver, ext_loader_type;
    uint32_t cmd_line_ptr, initrd_addr_max, kernel_alignment;
    uint8_t relocatable_kernel, min_alignment;
    uint16_t xloadflags;
    uint32_t cmdline_size, hardware_subarch;
    uint64_t hardware_subarch_data;
    uint32_t payload_offset, payload_length;
    uint64_t setup_data, pref_address;
    uint32_t init_size;
} __attribute__((packed));
static_assert(offsetof(struct linux_setup_header, header) == 0x202 - LINUX_SETUP_HEADER,
              "boot.rst");
static_assert(offsetof(struct linux_setup_header, cmd_line_ptr) == 0x228 - LINUX_SETUP_HEADER,
              "boot.rst");
static_assert(sizeof(struct linux_setup_header) == 0x264 - LINUX_SETUP_HEADER, "boot.rst");

struct linux_e820_entry {
    uint64_t address, size;
    uint32_t type;
} __attribute__((packed));

/* The "zero page" (zero-page.rst). */
struct linux_boot_params {
    uint8_t before[0x1e8];
    uint8_t e820_entries;
    uint8_t between[LINUX_SETUP_HEADER - 0x1e9];
    struct linux_setup_header header;
    uint8_t newer_header[0x290 - 0x264];
    uint8_t edd_mbr_signatures[0x40];
    struct linux_e820_entry e820[128];
    uint8_t after[0x1000 - 0x2d0 - 128 * 20];
} __attribute__((packed));
static_assert(offsetof(struct linux_boot_params, header) == LINUX_SETUP_HEADER, "zero-page.rst");
static_assert(offsetof(struct linux_boot_params, e820) == 0x2d0, "zero-page.rst");
static_assert(sizeof(struct linux_boot_params) == 4096, "zero-page.rst");
