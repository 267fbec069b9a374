/*
 * Puts what a guest boots from into its memory, and says where it begins. One contract for all boot
 * protocols:
 *
 *     flat       Our own guests. By the mode they start in:
 *                long       64-bit, paging on. 0x1000: PML4, PDPT, four page directories (4 GiB,
 *                           identity, 2 MiB pages). The image at 1 MiB, the stack at the top of
 *                           memory.
 *                protected  32-bit flat, paging off. The image at 1 MiB, the stack at the top.
 *                real       The image at 0x7c00, entered there with all segments 0, as a BIOS
 *                           starts a boot sector; the stack below it.
 *     linux      The kernel's 32-bit entry: ESI has boot_params (load_linux.c).
 *     multiboot  Multiboot 1: EAX has the magic number, EBX the information (load_multiboot.c).
 *
 * Where a guest starts in protected or long mode, a GDT stands at 0x500: null, null, code (0x10), data
 * (0x18). The page tables reach beyond the guest's memory so that the second-level tables, not they, are
 * what confines it. The BIOS's places in the first MiB stay zero: no table of a real machine shows.
 *
 * An image is as little trusted as the guest that it becomes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vm/vm.h"

#define LOADER_LEAST_MEMORY (2ul << 20)
#define LOADER_MOST_MEMORY  (3ul << 30)

enum boot_protocol { BOOT_FLAT, BOOT_LINUX, BOOT_MULTIBOOT };

enum { BOOT_COMMAND_LINE_SIZE = 2048, BOOT_STRING_SIZE = 256, BOOT_MODULES = 4 };

/* A boot module's bytes, where the boot loader put them. */
struct guest_file {
    const uint8_t *bytes;
    uint64_t size;
};

struct guest_boot {
    enum boot_protocol protocol;
    struct guest_file image;
    char command_line[BOOT_COMMAND_LINE_SIZE];
    struct guest_file initrd; /* size 0: none */
    struct guest_file modules[BOOT_MODULES];
    char module_strings[BOOT_MODULES][BOOT_STRING_SIZE];
    unsigned module_count;
};

/* Why an image was not loaded: "bad-image" or "too-big", and a sentence. */
struct load_refusal {
    const char *reason;
    char message[192];
};

/* False if it can't be; vm->memory has vm->options.memory zeroed bytes. */
bool loader_load(struct vm *vm, const struct guest_boot *boot, struct vcpu_start *start,
                 struct load_refusal *refusal);

/* What loader_load chooses from. */
bool load_flat(struct vm *vm, const struct guest_boot *boot, struct vcpu_start *start,
               struct load_refusal *refusal);
bool load_linux(struct vm *vm, const struct guest_boot *boot, struct vcpu_start *start,
                struct load_refusal *refusal);
bool load_multiboot(struct vm *vm, const struct guest_boot *boot, struct vcpu_start *start,
                    struct load_refusal *refusal);
