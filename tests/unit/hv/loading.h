/* A guest to load something into, whose memory and files are blocks of exactly their size: the sanitizer
 * sees every byte beside them that is touched. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "vm/load_help.h"

#define MIB (1ull << 20)

struct loading {
    struct vm vm;
    struct guest_boot boot;
    struct vcpu_start start;
    struct load_refusal refusal;
};

/* A guest with so much zeroed memory. */
void loading_begin(struct loading *loading, enum boot_protocol protocol, uint64_t memory);
void loading_end(struct loading *loading);

/* A copy of `size` bytes; all 0xa5 where `bytes` is NULL. The caller frees it. */
struct guest_file file_of(const void *bytes, uint64_t size);
void file_free(struct guest_file *file);

/* Loads; what was refused must have left its reason and sentence. */
bool loading_loads(struct loading *loading);

/* Loads nothing: refused for that reason, in a sentence that starts with, or has in it, `word`. */
void loading_refuses(struct loading *loading, const char *reason, const char *word);

/* The guest's memory at an address, of which so many bytes must be there. */
void *guest_bytes(struct loading *loading, uint64_t address, uint64_t size);
uint32_t guest_32(struct loading *loading, uint64_t address);

/* Nothing but zeros there. */
bool guest_is_zero(struct loading *loading, uint64_t from, uint64_t to);

/* What both protocols promise: 32-bit flat, segments by the GDT that stands there, a clean BIOS area. */
void expect_protected_mode(struct loading *loading);

/* Writes a little-endian number of so many bytes. */
void put_number(uint8_t *bytes, uint64_t offset, unsigned width, uint64_t value);
