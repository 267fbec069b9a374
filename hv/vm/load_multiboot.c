/*
 * A multiboot 1 kernel (Multiboot Specification 0.6.96): ELF32, or any file whose header itself gives the
 * load addresses. Modules follow the kernel on pages of their own; the information is below 1 MiB.
 */
#include "boot/multiboot.h"
#include "core/pages.h"
#include "core/string.h"
#include "vm/elf32.h"
#include "vm/load_help.h"

/* Specification 3.1.1 and 3.1.2. */
enum {
    HEADER_WINDOW = 8192,
    FLAG_ADDRESSES = 1 << 16,
    FLAGS_KNOWN = 0x3,
    FLAGS_MANDATORY = 0xffff
};

/* The first three stand in each header, the others where FLAG_ADDRESSES is set. */
struct header {
    uint32_t magic, flags, checksum;
    uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};
enum { HEADER_LEAST = 12 };
static_assert(sizeof(struct header) == 32, "multiboot 1, section 3.1");

/* Everything that the kernel is told, one behind the other. */
struct information {
    struct multiboot_info info;
    struct multiboot_memory_region regions[2];
    struct multiboot_module modules[BOOT_MODULES];
    char strings[BOOT_MODULES][BOOT_STRING_SIZE];
    char command_line[BOOT_COMMAND_LINE_SIZE];
};
static_assert(LOAD_INFORMATION + sizeof(struct information) <= LOW_MEMORY_END, "in low memory");

static bool find_header(const struct guest_file *image, uint64_t *offset, struct header *header) {
    for (*offset = 0;
         *offset + HEADER_LEAST <= image->size && *offset + HEADER_LEAST <= HEADER_WINDOW;
         *offset += 4) {
        memcpy(header, image->bytes + *offset, HEADER_LEAST);
        if (header->magic == MULTIBOOT_HEADER_MAGIC &&
            header->magic + header->flags + header->checksum == 0) {
            return true;
        }
    }
    return false;
}

/* The place of a kernel that says itself where it goes (3.1.3). */
static bool read_addresses(const struct guest_file *image, uint64_t offset, struct header *header,
                           struct elf32_image *kernel, struct load_refusal *refusal) {
    if (sizeof *header > image->size - offset) {
        return load_refuse_image(refusal, "the image ends within its multiboot header");
    }
    memcpy(header, image->bytes + offset, sizeof *header);
    uint64_t before =
        (uint64_t)header->header_addr - header->load_addr; /* of the header, in memory */
    if (header->load_addr > header->header_addr || before > offset) {
        return load_refuse_image(refusal, "load_addr 0x%x does not agree with header_addr 0x%x",
                                 header->load_addr, header->header_addr);
    }
    struct elf32_segment *segment = &kernel->segments[0];
    segment->offset = offset - before;
    segment->address = header->load_addr;
    segment->file_size = image->size - segment->offset;
    if (header->load_end_addr) {
        uint64_t left = segment->file_size;
        segment->file_size = (uint64_t)header->load_end_addr - header->load_addr;
        if (header->load_end_addr < header->load_addr || segment->file_size > left) {
            return load_refuse_image(refusal, "load_end_addr 0x%x is not in the image",
                                     header->load_end_addr);
        }
    }
    segment->size = segment->file_size;
    if (header->bss_end_addr) {
        segment->size = (uint64_t)header->bss_end_addr - header->load_addr;
        if (header->bss_end_addr < header->load_addr || segment->size < segment->file_size) {
            return load_refuse_image(refusal,
                                     "bss_end_addr 0x%x is before the end of what is loaded",
                                     header->bss_end_addr);
        }
    }
    if (header->entry_addr < segment->address ||
        header->entry_addr - segment->address >= segment->size) {
        return load_refuse_image(refusal, "entry_addr 0x%x is not in the kernel",
                                 header->entry_addr);
    }
    kernel->segment_count = 1;
    kernel->entry = header->entry_addr;
    return true;
}

static bool read_kernel(const struct guest_file *image, struct elf32_image *kernel,
                        struct load_refusal *refusal) {
    struct header header;
    uint64_t offset;
    if (!find_header(image, &offset, &header)) {
        return load_refuse_image(refusal,
                                 "there is no multiboot header (magic, flags, checksum) in "
                                 "its first 8192 bytes");
    }
    uint32_t unknown = header.flags & FLAGS_MANDATORY & ~(uint32_t)FLAGS_KNOWN;
    if (unknown) {
        return load_refuse_image(refusal,
                                 "flags of the multiboot header ask for 0x%x, which nothing "
                                 "here has",
                                 unknown);
    }
    return header.flags & FLAG_ADDRESSES ? read_addresses(image, offset, &header, kernel, refusal)
                                         : elf32_read(image, kernel, refusal);
}

/* Copies the segments; where the last of them ends. */
static bool place_kernel(struct vm *vm, const struct guest_file *image,
                         const struct elf32_image *kernel, uint64_t *end,
                         struct load_refusal *refusal) {
    *end = HIGH_MEMORY_START;
    for (unsigned i = 0; i < kernel->segment_count; i++) {
        const struct elf32_segment *one = &kernel->segments[i];
        if (one->address < HIGH_MEMORY_START) {
            return load_refuse_image(
                refusal, "it wants to be loaded at 0x%lx; below 1 MiB is no room", one->address);
        }
        if (one->address + one->size > vm->options.memory) {
            return load_refuse_size(refusal,
                                    "the kernel needs memory up to 0x%lx; give it more with "
                                    "memory=",
                                    one->address + one->size);
        }
        for (unsigned other = 0; other < i; other++) {
            if (elf32_overlap(one, &kernel->segments[other])) {
                return load_refuse_image(refusal, "two segments overlap at p_paddr 0x%lx",
                                         one->address);
            }
        }
        memcpy(vm->memory + one->address, image->bytes + one->offset, one->file_size);
        if (one->address + one->size > *end) {
            *end = one->address + one->size;
        }
    }
    return true;
}

static bool place_modules(struct vm *vm, const struct guest_boot *boot, uint64_t end,
                          struct information *information, struct load_refusal *refusal) {
    for (unsigned i = 0; i < boot->module_count; i++) {
        const struct guest_file *file = &boot->modules[i];
        uint64_t start = (end + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1);
        if (start > vm->options.memory || file->size > vm->options.memory - start) {
            return load_refuse_size(refusal,
                                    "module %s has %lu bytes, and does not fit behind the "
                                    "kernel; give it more with memory=",
                                    boot->module_strings[i], file->size);
        }
        memcpy(vm->memory + start, file->bytes, file->size);
        end = start + file->size;
        text_copy(information->strings[i], BOOT_STRING_SIZE, boot->module_strings[i]);
        information->modules[i] = (struct multiboot_module){
            .start = (uint32_t)start,
            .end = (uint32_t)end,
            .string = (uint32_t)(LOAD_INFORMATION + offsetof(struct information, strings) +
                                 i * BOOT_STRING_SIZE),
        };
    }
    return true;
}

static void describe(const struct vm *vm, const struct guest_boot *boot,
                     struct information *information) {
    uint64_t high = vm->options.memory - HIGH_MEMORY_START;
    text_copy(information->command_line, BOOT_COMMAND_LINE_SIZE, boot->command_line);
    information->regions[0] = (struct multiboot_memory_region){
        sizeof information->regions[0] - 4, 0, LOW_MEMORY_END, MULTIBOOT_MEMORY_AVAILABLE};
    information->regions[1] = (struct multiboot_memory_region){
        sizeof information->regions[0] - 4, HIGH_MEMORY_START, high, MULTIBOOT_MEMORY_AVAILABLE};
    information->info = (struct multiboot_info){
        .flags = MULTIBOOT_INFO_MEMORY | MULTIBOOT_INFO_COMMAND_LINE | MULTIBOOT_INFO_MODULES |
                 MULTIBOOT_INFO_MEMORY_MAP,
        .mem_lower = LOW_MEMORY_END >> 10,
        .mem_upper = (uint32_t)(high >> 10),
        .command_line = LOAD_INFORMATION + offsetof(struct information, command_line),
        .modules_count = boot->module_count,
        .modules_address = LOAD_INFORMATION + offsetof(struct information, modules),
        .memory_map_length = sizeof information->regions,
        .memory_map_address = LOAD_INFORMATION + offsetof(struct information, regions),
    };
}

bool load_multiboot(struct vm *vm, const struct guest_boot *boot, struct vcpu_start *start,
                    struct load_refusal *refusal) {
    struct information *information = (struct information *)(vm->memory + LOAD_INFORMATION);
    struct elf32_image kernel;
    uint64_t end;
    if (!read_kernel(&boot->image, &kernel, refusal) ||
        !place_kernel(vm, &boot->image, &kernel, &end, refusal) ||
        !place_modules(vm, boot, end, information, refusal)) {
        return false;
    }
    describe(vm, boot, information);
    load_protected_mode(vm, start, kernel.entry);
    start->rax = MULTIBOOT_LOADER_MAGIC;
    start->rbx = LOAD_INFORMATION;
    return true;
}
