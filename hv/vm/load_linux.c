/*
 * A Linux kernel, or what is packed like one, at its 32-bit entry (boot.rst, "32-bit Boot Protocol").
 * Its real-mode part is not run: what that would ask a BIOS for stands in boot_params.
 */
#include "core/pages.h"
#include "core/string.h"
#include "vm/linux_boot.h"
#include "vm/load_help.h"

enum { SECTOR = 512, PARAGRAPH = 16 };
enum { BOOT_PARAMS = LOAD_INFORMATION, COMMAND_LINE = BOOT_PARAMS + 0x1000 };
static_assert(COMMAND_LINE + BOOT_COMMAND_LINE_SIZE <= LOW_MEMORY_END, "boot.rst: below 0xa0000");

/* Where the parts of the image lie in the file and go to in memory, once its header was checked. */
struct placing {
    uint64_t header_size;
    uint64_t code, code_size; /* in the file */
    uint64_t address;         /* of the code, and of the entry point */
    uint64_t end;             /* what the kernel fills before it looks at the memory map */
    uint64_t ramdisk;
};

static bool check_magic(const struct linux_setup_header *header, struct load_refusal *refusal) {
    if (header->boot_flag != LINUX_BOOT_FLAG) {
        return load_refuse_image(refusal, "boot_flag is 0x%x, not 0x%x: this is no Linux kernel",
                                 header->boot_flag, LINUX_BOOT_FLAG);
    }
    if (header->header != LINUX_MAGIC) {
        return load_refuse_image(refusal, "header is 0x%x, not \"HdrS\": this is no Linux kernel",
                                 header->header);
    }
    if (header->version < LINUX_VERSION) {
        return load_refuse_image(refusal, "version is 0x%x; at least 0x%x (Linux 2.6.31) is needed",
                                 header->version, LINUX_VERSION);
    }
    if (!(header->loadflags & LINUX_LOADED_HIGH)) {
        return load_refuse_image(refusal,
                                 "loadflags lacks LOADED_HIGH: a zImage has no place here");
    }
    return true;
}

/* The jump over the header tells how long that is. */
static bool measure_header(const struct guest_file *image, const struct linux_setup_header *header,
                           struct placing *placing, struct load_refusal *refusal) {
    enum { JUMP_FROM = offsetof(struct linux_setup_header, header) };
    const uint64_t most = offsetof(struct linux_boot_params, edd_mbr_signatures) -
                          offsetof(struct linux_boot_params, header);
    placing->header_size = JUMP_FROM + header->jump_offset;
    if (placing->header_size < sizeof *header || placing->header_size > most ||
        placing->header_size > image->size - LINUX_SETUP_HEADER) {
        return load_refuse_image(refusal,
                                 "jump goes to offset 0x%lx, which can't be the header's end",
                                 LINUX_SETUP_HEADER + placing->header_size);
    }
    return true;
}

static bool find_code(const struct guest_file *image, const struct linux_setup_header *header,
                      struct placing *placing, struct load_refusal *refusal) {
    unsigned sectors = header->setup_sects ? header->setup_sects : 4; /* boot.rst: setup_sects */
    placing->code = (sectors + 1) * SECTOR;
    if (placing->code >= image->size) {
        return load_refuse_image(refusal, "setup_sects is %u, but the image ends at byte %lu",
                                 sectors, image->size);
    }
    uint64_t left = image->size - placing->code;
    placing->code_size = (uint64_t)header->syssize * PARAGRAPH;
    if (!header->syssize || placing->code_size >= left + PARAGRAPH) {
        return load_refuse_image(refusal,
                                 "syssize is 0x%x paragraphs, but the image has %lu bytes "
                                 "of them: it is cut off",
                                 header->syssize, left);
    }
    if (placing->code_size > left) {
        placing->code_size = left; /* the last paragraph need not be whole */
    }
    return true;
}

/* Where it goes to: a relocatable kernel straight to where it would go to anyway. */
static bool place_code(const struct vm *vm, const struct linux_setup_header *header,
                       struct placing *placing, struct load_refusal *refusal) {
    uint64_t alignment = header->kernel_alignment, start = header->pref_address;
    if (start < HIGH_MEMORY_START || start > UINT32_MAX) {
        return load_refuse_image(refusal, "pref_address is 0x%lx, which is not from 1 MiB to 4 GiB",
                                 start);
    }
    if (header->relocatable_kernel &&
        (!alignment || alignment & (alignment - 1) || start & (alignment - 1))) {
        return load_refuse_image(refusal,
                                 "kernel_alignment is 0x%lx, which pref_address 0x%lx does "
                                 "not agree with",
                                 alignment, start);
    }
    placing->address = header->relocatable_kernel ? start : HIGH_MEMORY_START;
    placing->end = start + header->init_size;
    if (placing->end < placing->address + placing->code_size) {
        placing->end = placing->address + placing->code_size;
    }
    if (placing->end > vm->options.memory) {
        return load_refuse_size(refusal,
                                "the kernel needs memory up to 0x%lx (pref_address and "
                                "init_size); give it more with memory=",
                                placing->end);
    }
    return true;
}

static bool place_ramdisk(const struct vm *vm, const struct guest_file *initrd,
                          const struct linux_setup_header *header, struct placing *placing,
                          struct load_refusal *refusal) {
    uint64_t limit = (uint64_t)header->initrd_addr_max + 1; /* it is the last byte's address */
    if (limit > vm->options.memory) {
        limit = vm->options.memory;
    }
    uint64_t start = limit > initrd->size ? limit - initrd->size : 0;
    placing->ramdisk = start & ~(uint64_t)(PAGE_SIZE - 1);
    if (placing->ramdisk < placing->end) {
        return load_refuse_size(
            refusal,
            "the initrd's %lu bytes do not fit between the kernel's end at 0x%lx and 0x%lx, which "
            "memory= and initrd_addr_max leave it",
            initrd->size, placing->end, limit);
    }
    return true;
}

static bool check_command_line(const struct guest_boot *boot,
                               const struct linux_setup_header *header,
                               struct load_refusal *refusal) {
    uint64_t length = strlen(boot->command_line);
    if (length > header->cmdline_size) {
        return load_refuse_size(refusal,
                                "cmdline= has %lu characters; this kernel's cmdline_size is %u",
                                length, header->cmdline_size);
    }
    return true;
}

static void write_boot_params(struct vm *vm, const struct guest_boot *boot,
                              const struct placing *placing) {
    struct linux_boot_params *params = (struct linux_boot_params *)(vm->memory + BOOT_PARAMS);
    struct linux_setup_header *header = &params->header;
    memcpy(header, boot->image.bytes + LINUX_SETUP_HEADER, placing->header_size);
    header->type_of_loader = LINUX_LOADER_UNDEFINED;
    header->code32_start = (uint32_t)placing->address;
    header->cmd_line_ptr = COMMAND_LINE;
    header->setup_data = 0; /* pointers into memory are the loader's to give */
    if (boot->initrd.size) {
        header->ramdisk_image = (uint32_t)placing->ramdisk;
        header->ramdisk_size = (uint32_t)boot->initrd.size;
    } else {
        header->ramdisk_image = header->ramdisk_size = 0;
    }
    params->e820[0] = (struct linux_e820_entry){0, LOW_MEMORY_END, LINUX_E820_RAM};
    params->e820[1] = (struct linux_e820_entry){
        HIGH_MEMORY_START, vm->options.memory - HIGH_MEMORY_START, LINUX_E820_RAM};
    params->e820_entries = 2;
}

bool load_linux(struct vm *vm, const struct guest_boot *boot, struct vcpu_start *start,
                struct load_refusal *refusal) {
    const struct guest_file *image = &boot->image;
    struct linux_setup_header header;
    struct placing placing = {0};
    if (image->size < LINUX_SETUP_HEADER + sizeof header) {
        return load_refuse_image(
            refusal, "the image's %lu bytes do not reach to its setup header's end", image->size);
    }
    memcpy(&header, image->bytes + LINUX_SETUP_HEADER, sizeof header);
    if (!check_magic(&header, refusal) || !measure_header(image, &header, &placing, refusal) ||
        !find_code(image, &header, &placing, refusal) ||
        !place_code(vm, &header, &placing, refusal) ||
        !check_command_line(boot, &header, refusal) ||
        (boot->initrd.size && !place_ramdisk(vm, &boot->initrd, &header, &placing, refusal))) {
        return false;
    }
    memcpy(vm->memory + placing.address, image->bytes + placing.code, placing.code_size);
    if (boot->initrd.size) {
        memcpy(vm->memory + placing.ramdisk, boot->initrd.bytes, boot->initrd.size);
    }
    memcpy(vm->memory + COMMAND_LINE, boot->command_line, strlen(boot->command_line) + 1);
    write_boot_params(vm, boot, &placing);
    load_protected_mode(vm, start, placing.address);
    start->rsi = BOOT_PARAMS;
    return true;
}
