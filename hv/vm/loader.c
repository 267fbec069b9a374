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

static const uint64_t gdt[] = {
    0,
    0,
    0x00af9b000000ffff, /* 0x10: 64-bit code, accessed */
    0x00cf93000000ffff, /* 0x18: data, writable, accessed */
};

bool loader_flat(struct vm *vm, const void *image, uint64_t bytes, struct vcpu_start *start) {
    uint64_t memory = vm->options.memory;
    if (bytes > memory - GUEST_IMAGE_ADDRESS - STACK_LEAST) {
        return false;
    }
    memcpy(vm->memory + GUEST_IMAGE_ADDRESS, image, bytes);
    memcpy(vm->memory + GDT, gdt, sizeof gdt);

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
    *start = (struct vcpu_start){
        .rip = GUEST_IMAGE_ADDRESS,
        .rsp = memory,
        .cr3 = PML4,
        .gdt_base = GDT,
        .gdt_limit = sizeof gdt - 1,
        .code_selector = 0x10,
        .data_selector = 0x18,
    };
    return true;
}
