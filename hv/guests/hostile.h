/* What the hostile guests share: their memory's end, pages mapped where they like, a choice of acts. */
#pragma once

#include "guests/interrupts.h"
#include "guests/parameter.h"
#include "guests/runtime.h"

/* The page tables that vm/loader.h describes: four page directories, 2 MiB pages. */
enum {
    PML4 = 0x1000,
    DIRECTORIES = 0x3000,
    LARGE_PAGE = 0x87,
    SMALL_TABLE = 0x7,
    SMALL_PAGE = 0x7
};
#define LARGE_PAGE_SIZE (2ul << 20)
#define DEVICE          0xd0000000ul /* dev/scratch.h */

/* Memory is a multiple of 2 MiB here, and the stack begins at its end. */
static inline uint64_t memory_end(void) {
    uint64_t stack = (uint64_t)__builtin_frame_address(0);
    return (stack + LARGE_PAGE_SIZE - 1) & ~(LARGE_PAGE_SIZE - 1);
}

static inline void flush_tlb(void) {
    uint64_t cr3;
    asm volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r"(cr3) : : "memory");
}

/* The 2 MiB from a linear address below 4 GiB mean this guest-physical page from now on. */
static inline void map_large(uint64_t linear, uint64_t physical) {
    volatile uint64_t *directory = (volatile uint64_t *)DIRECTORIES;
    directory[linear / LARGE_PAGE_SIZE] = (physical & ~(LARGE_PAGE_SIZE - 1)) | LARGE_PAGE;
    flush_tlb();
}

/* Likewise by a table of 4 KiB pages. */
static inline void map_small(uint64_t linear, uint64_t table) {
    volatile uint64_t *directory = (volatile uint64_t *)DIRECTORIES;
    directory[linear / LARGE_PAGE_SIZE] = table | SMALL_TABLE;
    flush_tlb();
}

static inline void load_idt(uint64_t base, uint16_t limit) {
    const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) idtr = {limit, base};
    asm volatile("lidt %0" : : "m"(idtr));
}

static inline void load_gdt(uint64_t base, uint16_t limit) {
    const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) gdtr = {limit, base};
    asm volatile("lgdt %0" : : "m"(gdtr));
}

/* One of a file's hostile acts; which one is in the parameter. Most of them don't return. */
struct act {
    const char *name;
    void (*commit)(void);
};

static inline bool is_parameter(const char *name) {
    unsigned i = 0;
    while (name[i] && name[i] == parameter.text[i]) {
        i++;
    }
    return name[i] == parameter.text[i];
}

/* What guest_main returns. A guest that comes back here got away with it: the report says so. */
static inline int commit(const struct act *acts, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (is_parameter(acts[i].name)) {
            acts[i].commit();
            report(false, i);
            return 1;
        }
    }
    print("no such act\n");
    return 1;
}

/* For acts that a guest survives: what it saw was right, or not. */
static inline void survive(bool right, uint64_t value) {
    report(right, value);
    guest_exit(!right);
}
