#include "vm/elf32.h"

#include "core/string.h"
#include "vm/load_help.h"

enum { CLASS_32 = 1, DATA_LITTLE_ENDIAN = 1, TYPE_EXECUTABLE = 2, MACHINE_386 = 3, PT_LOAD = 1 };

struct elf32_header {
    char magic[4];
    uint8_t class, data, rest_of_ident[10];
    uint16_t type, machine;
    uint32_t version, entry, phoff, shoff, flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
static_assert(sizeof(struct elf32_header) == 52, "System V ABI");

struct elf32_program_header {
    uint32_t type, offset, vaddr, paddr, filesz, memsz, flags, align;
};
static_assert(sizeof(struct elf32_program_header) == 32, "System V ABI");

static bool check_header(const struct guest_file *file, const struct elf32_header *header,
                         struct load_refusal *refusal) {
    if (memcmp(header->magic,
               "\x7f"
               "ELF",
               4) != 0) {
        return load_refuse_image(refusal,
                                 "e_ident is not ELF's, and the multiboot header has no load "
                                 "addresses");
    }
    if (header->class != CLASS_32 || header->data != DATA_LITTLE_ENDIAN) {
        return load_refuse_image(refusal,
                                 "e_ident says class %u, data %u: only 32-bit little-endian "
                                 "ELF is multiboot's",
                                 header->class, header->data);
    }
    if (header->type != TYPE_EXECUTABLE) {
        return load_refuse_image(refusal, "e_type is %u, not executable (2)", header->type);
    }
    if (header->machine != MACHINE_386) {
        return load_refuse_image(refusal, "e_machine is %u, not i386 (3)", header->machine);
    }
    if (header->phentsize < sizeof(struct elf32_program_header)) {
        return load_refuse_image(refusal, "e_phentsize is %u: too small for a program header",
                                 header->phentsize);
    }
    if (header->phoff + (uint64_t)header->phentsize * header->phnum > file->size) {
        return load_refuse_image(refusal, "e_phoff 0x%x and e_phnum %u reach past the image's end",
                                 header->phoff, header->phnum);
    }
    return true;
}

bool elf32_read(const struct guest_file *file, struct elf32_image *image,
                struct load_refusal *refusal) {
    struct elf32_header header;
    if (file->size < sizeof header) {
        return load_refuse_image(refusal, "the image ends within its ELF header");
    }
    memcpy(&header, file->bytes, sizeof header);
    if (!check_header(file, &header, refusal)) {
        return false;
    }
    bool entered = false;
    image->segment_count = 0;
    for (unsigned i = 0; i < header.phnum; i++) {
        struct elf32_program_header one;
        memcpy(&one, file->bytes + header.phoff + (uint64_t)i * header.phentsize, sizeof one);
        if (one.type != PT_LOAD || !one.memsz) {
            continue;
        }
        if (one.filesz > one.memsz) {
            return load_refuse_image(refusal,
                                     "p_filesz 0x%x of segment %u is more than p_memsz 0x%x",
                                     one.filesz, i, one.memsz);
        }
        if (!one.filesz) {
            one.offset = 0; /* zeros alone: linkers put p_offset anywhere, past the end too */
        }
        if ((uint64_t)one.offset + one.filesz > file->size) {
            return load_refuse_image(refusal,
                                     "p_offset 0x%x and p_filesz 0x%x of segment %u reach "
                                     "past the image's end",
                                     one.offset, one.filesz, i);
        }
        if (image->segment_count == ELF32_SEGMENTS) {
            return load_refuse_image(refusal, "e_phnum is %u: more than %d segments to load",
                                     header.phnum, ELF32_SEGMENTS);
        }
        image->segments[image->segment_count++] =
            (struct elf32_segment){one.offset, one.filesz, one.paddr, one.memsz};
        /* Kernels linked high give a virtual entry address; paging is off when they are entered. */
        if (!entered && header.entry >= one.vaddr && header.entry - one.vaddr < one.memsz) {
            image->entry = (uint64_t)one.paddr + (header.entry - one.vaddr);
            entered = true;
        }
    }
    return entered || load_refuse_image(refusal, "e_entry 0x%x is in no segment", header.entry);
}
