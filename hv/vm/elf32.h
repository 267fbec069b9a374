/* What is to be loaded out of an ELF32 executable for i386 (System V ABI, chapter 5). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vm/loader.h"

enum { ELF32_SEGMENTS = 16 };

/* `file_size` bytes at `offset` of the file go to `address`; zeros follow up to `size`. */
struct elf32_segment {
    uint64_t offset, file_size;
    uint64_t address, size;
};

struct elf32_image {
    struct elf32_segment segments[ELF32_SEGMENTS];
    unsigned segment_count;
    uint64_t entry; /* physical */
};

/* Everything that it gives lies in the file; where it goes to is for the caller to check. */
bool elf32_read(const struct guest_file *file, struct elf32_image *image,
                struct load_refusal *refusal);

static inline bool elf32_overlap(const struct elf32_segment *a, const struct elf32_segment *b) {
    return a->address < b->address + b->size && b->address < a->address + a->size;
}
