/*
 * A module's string, in words:
 *
 *     vmlinuz name=linux memory=128M boot=linux cmdline="console=ttyS0 quiet" initrd=init.cpio
 *     gnumach name=mach memory=32M boot=multiboot module="task.elf $(task-create) $(task-resume)"
 *     hello.bin name=hello memory=4M mode=long pages=4K
 *
 * pages=4K, 2M or 1G: its memory begins at a multiple of that, and is mapped by pages of that size at most (2M).
 * initrd= and module= name another boot module by its file's name. What is named so is data and no guest
 * of its own; several guests may name the same one.
 */
#pragma once

#include <stdbool.h>

#include "core/boot_info.h"
#include "vm/loader.h"

/* What a guest's module asks for; refuses the boot over a bad word. */
void vm_options_parse(const struct boot_module *module, struct vm_options *options,
                      struct guest_boot *boot);

/* Is it data that some guest names? */
bool boot_file_is_data(const struct boot_module *module);

/* Has its string more than a name? Data must not: then it would be a guest that nobody starts. */
bool boot_file_has_options(const struct boot_module *module);

/* The boot module that the first word of `text` names; NULL if there is none, or more than one. */
const struct boot_module *boot_file_find(const char *text);
