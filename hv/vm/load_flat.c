/* A flat image: no header, entered at its first byte. */
#include "core/string.h"
#include "guests/abi.h"
#include "vm/load_help.h"

enum {
    PML4 = 0x1000,
    PDPT = 0x2000,
    DIRECTORIES = 0x3000,
    STACK_LEAST = 64 << 10,
};

/* SDM 3A 4.5.4: present, writable, user; a large page. */
enum { TABLE = 0x7, LARGE_PAGE = 0x87 };

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

bool load_flat(struct vm *vm, const struct guest_boot *boot, struct vcpu_start *start,
               struct load_refusal *refusal) {
    enum vcpu_mode mode = vm->options.mode;
    uint64_t memory = vm->options.memory;
    bool real = mode == VCPU_REAL;
    uint64_t address = real ? GUEST_REAL_IMAGE_ADDRESS : GUEST_IMAGE_ADDRESS;
    uint64_t end = real ? GUEST_REAL_IMAGE_END : memory - STACK_LEAST;
    if (boot->image.size > end - address) {
        return load_refuse_size(
            refusal, "its image does not fit into its memory; give it more with memory=");
    }
    memcpy(vm->memory + address, boot->image.bytes, boot->image.size);
    *start = (struct vcpu_start){
        .mode = mode, .rip = address, .rsp = real ? GUEST_REAL_IMAGE_ADDRESS : memory};
    if (!real) {
        load_segments(vm, start, mode == VCPU_LONG ? LOAD_CODE_64 : LOAD_CODE_32);
    }
    if (mode == VCPU_LONG) {
        write_page_tables(vm);
        start->cr3 = PML4;
    }
    return true;
}
