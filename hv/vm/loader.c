#include "vm/loader.h"

#include "core/string.h"
#include "guests/abi.h"

enum {
    GDT = 0x500,
    PML4 = 0x1000,
    PDPT = 0x2000,
    DIRECTORIES = 0x3000,
    STACK_LEAST = 64 << 10,
};

/* SDM 3A 4.5.4: present, writable, user; a large page. */
enum { TABLE = 0x7, LARGE_PAGE = 0x87 };

/* Flat, accessed; the code segment is 64-bit or 32-bit. */
#define CODE_64 0x00af9b000000ffff
#define CODE_32 0x00cf9b000000ffff
#define DATA    0x00cf93000000ffff

static void write_gdt(struct vm *vm, uint64_t code) {
    const uint64_t gdt[] = {0, 0, code, DATA};
    memcpy(vm->memory + GDT, gdt, sizeof gdt);
}

static void write_page_tables(struct vm *vm) {
    uint64_t *pml4 = (uint64_t *)(vm->memory + PML4);
    uint64_t *pdpt = (uint64_t *)(vm->memory + PDPT);
    uint64_t *directories = (uint64_t *)(vm->memory + DIRECTORIES);
    pml4[0] = PDPT | TABLE;
    for (uint64_t i = 0; i < 4; i++) {
        pdpt[i] = (DIRECTORIES + i * 4096) | TABLE;
    }
    for (uint64_t i = 0; i < 4 * 512; i++) {
        directories[i] = i << 21 | LARGE_PAGE;
    }
}

bool loader_flat(struct vm *vm, const void *image, uint64_t bytes, struct vcpu_start *start) {
    enum vcpu_mode mode = vm->options.mode;
    uint64_t memory = vm->options.memory;
    bool real = mode == VCPU_REAL;
    uint64_t address = real ? GUEST_REAL_IMAGE_ADDRESS : GUEST_IMAGE_ADDRESS;
    uint64_t end = real ? GUEST_REAL_IMAGE_END : memory - STACK_LEAST;
    if (bytes > end - address) {
        return false;
    }
    memcpy(vm->memory + address, image, bytes);
    *start = (struct vcpu_start){
        .mode = mode, .rip = address, .rsp = real ? GUEST_REAL_IMAGE_ADDRESS : memory};
    if (!real) {
        write_gdt(vm, mode == VCPU_LONG ? CODE_64 : CODE_32);
        start->gdt_base = GDT;
        start->gdt_limit = 4 * sizeof(uint64_t) - 1;
        start->code_selector = 0x10;
        start->data_selector = 0x18;
    }
    if (mode == VCPU_LONG) {
        write_page_tables(vm);
        start->cr3 = PML4;
    }
    return true;
}
