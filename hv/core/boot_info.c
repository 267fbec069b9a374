#include "core/boot_info.h"

#include "boot/multiboot.h"
#include "core/pages.h"
#include "core/refuse.h"
#include "core/string.h"

struct boot_info boot_info;

static const void *at(uint32_t address) {
    return (const void *)(uintptr_t)address;
}

static void read_memory_map(const struct multiboot_info *info) {
    if (!(info->flags & MULTIBOOT_INFO_MEMORY_MAP)) {
        refuse("bad-loader", "the boot loader passed no memory map");
    }
    uint32_t address = info->memory_map_address;
    uint32_t end = address + info->memory_map_length;
    while (address + sizeof(struct multiboot_memory_region) <= end) {
        const struct multiboot_memory_region *entry = at(address);
        address += entry->size + sizeof entry->size;
        uint64_t start = (entry->address + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1);
        uint64_t limit = (entry->address + entry->length) & ~(uint64_t)(PAGE_SIZE - 1);
        if (entry->type != MULTIBOOT_MEMORY_AVAILABLE || start >= limit) {
            continue;
        }
        if (boot_info.memory_count == MAX_REGIONS) {
            break; /* the rest stays unused; nothing depends on having all memory */
        }
        boot_info.memory[boot_info.memory_count++] = (struct memory_region){start, limit};
        boot_info.memory_bytes += limit - start;
    }
}

static void read_modules(const struct multiboot_info *info) {
    if (!(info->flags & MULTIBOOT_INFO_MODULES)) {
        return;
    }
    if (info->modules_count > MAX_MODULES) {
        refuse("bad-module", "%u modules were passed, at most %d can be used", info->modules_count,
               MAX_MODULES);
    }
    const struct multiboot_module *modules = at(info->modules_address);
    for (uint32_t i = 0; i < info->modules_count; i++) {
        struct boot_module *module = &boot_info.modules[i];
        module->start = modules[i].start;
        module->end = modules[i].end;
        if (module->end < module->start) {
            refuse("bad-module", "module %u ends before it starts", i);
        }
        if (!text_copy(module->string, STRING_SIZE,
                       modules[i].string ? at(modules[i].string) : "")) {
            refuse("bad-module", "module %u: its string is longer than %d bytes", i,
                   STRING_SIZE - 1);
        }
    }
    boot_info.module_count = info->modules_count;
}

void boot_info_read(uint32_t address) {
    const struct multiboot_info *info = at(address);
    if (info->flags & MULTIBOOT_INFO_COMMAND_LINE &&
        !text_copy(boot_info.command_line, STRING_SIZE, at(info->command_line))) {
        refuse("bad-option", "the command line is longer than %d bytes", STRING_SIZE - 1);
    }
    read_memory_map(info);
    read_modules(info);
}
