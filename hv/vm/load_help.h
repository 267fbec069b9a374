/* What the loaders of all boot protocols share. */
#pragma once

#include "vm/loader.h"

/* The first MiB of a PC: RAM ends where the BIOS's extended data area would begin. */
enum { LOW_MEMORY_END = 0x9fc00, HIGH_MEMORY_START = 0x100000 };

/* Below the image, in memory that the guest may reuse once it has read what is there. */
enum { LOAD_GDT = 0x500, LOAD_STACK_END = 0x10000, LOAD_INFORMATION = 0x10000 };

/* Fills in the refusal; false, so that it can be returned. */
bool load_refuse_image(struct load_refusal *refusal, const char *format_text, ...)
    __attribute__((format(printf, 2, 3)));
bool load_refuse_size(struct load_refusal *refusal, const char *format_text, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes the GDT with this code segment, and starts the guest with flat segments. */
void load_segments(struct vm *vm, struct vcpu_start *start, uint64_t code);

/* 32-bit flat, paging off: what Linux's 32-bit entry and multiboot 1 ask for. */
void load_protected_mode(struct vm *vm, struct vcpu_start *start, uint64_t entry);

/* Flat, accessed; the code segment is 64-bit or 32-bit. */
#define LOAD_CODE_64 0x00af9b000000ffff
#define LOAD_CODE_32 0x00cf9b000000ffff
