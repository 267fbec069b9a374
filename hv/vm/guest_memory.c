#include "vm/guest_memory.h"

#include "core/string.h"
#include "cpu/control.h"

bool guest_physical_read(const struct vm *vm, uint64_t address, void *to, uint64_t bytes) {
    if (address > vm->options.memory || bytes > vm->options.memory - address) {
        return false;
    }
    memcpy(to, vm->memory + address, bytes);
    return true;
}

enum { ENTRY_PRESENT = 1 << 0, ENTRY_LARGE = 1 << 7 };
#define ENTRY_ADDRESS 0x000ffffffffff000ull

/* An entry of 4 or 8 bytes; false unless all of it is the guest's RAM. */
static bool read_entry(const struct vm *vm, uint64_t address, unsigned size, uint64_t *entry) {
    if (address > vm->options.memory || size > vm->options.memory - address) {
        return false;
    }
    if (size == 8) {
        *entry = *(const uint64_t *)(vm->memory + address);
    } else {
        *entry = *(const uint32_t *)(vm->memory + address);
    }
    return true;
}

/* One table walk: levels of `index_bits` bits each, entries of `entry_size` bytes. */
struct walk_shape {
    int levels;
    unsigned index_bits, entry_size;
    int largest_page_level; /* the highest level at which an entry can map a page itself */
};

static bool walk(const struct vm *vm, uint64_t root, struct walk_shape shape, uint64_t linear,
                 uint64_t *physical) {
    uint64_t table = root;
    for (int level = shape.levels; level >= 1; level--) {
        unsigned shift = 12 + shape.index_bits * (unsigned)(level - 1);
        uint64_t index = linear >> shift & ((1u << shape.index_bits) - 1), entry = 0;
        if (!read_entry(vm, table + index * shape.entry_size, shape.entry_size, &entry) ||
            !(entry & ENTRY_PRESENT)) {
            return false;
        }
        bool maps_page = level == 1 || (entry & ENTRY_LARGE && level <= shape.largest_page_level);
        if (maps_page) {
            uint64_t offset_mask = (1ull << shift) - 1;
            *physical = (entry & ENTRY_ADDRESS & ~offset_mask) | (linear & offset_mask);
            return true;
        }
        table = entry & ENTRY_ADDRESS;
    }
    return false;
}

/* 32-bit paging's pages of 4 MiB, which may lie above 4 GiB: SDM 3A table 4-4. */
static bool in_4m_page(const struct vm *vm, uint64_t directory, uint64_t linear,
                       uint64_t *physical) {
    const uint64_t present_page = ENTRY_PRESENT | ENTRY_LARGE;
    uint64_t entry = 0;
    if (!read_entry(vm, directory + (linear >> 22 & 0x3ff) * 4, 4, &entry) ||
        (entry & present_page) != present_page) {
        return false;
    }
    *physical = (entry >> 13 & 0xff) << 32 | (entry & 0xffc00000) | (linear & 0x3fffff);
    return true;
}

bool guest_translate(struct vcpu *vcpu, uint64_t linear, uint64_t *physical) {
    if (virt->get(vcpu, VCPU_EFER) &
        EFER_LMA) { /* most guests; it says of PG and PAE what they are */
        struct walk_shape four_level = {4, 9, 8, 3};
        uint64_t root = virt->get(vcpu, VCPU_CR3) & ENTRY_ADDRESS;
        return walk(vcpu->vm, root, four_level, linear, physical);
    }
    if (!(virt->get(vcpu, VCPU_CR0) & CR0_PG_64)) {
        *physical = linear;
        return true;
    }
    uint64_t cr4 = virt->get(vcpu, VCPU_CR4);
    if (cr4 & CR4_PAE) {
        /* Those that the processor keeps since CR3 was loaded, whatever memory has now (4.4.1). */
        uint64_t entry = virt->get(vcpu, VCPU_PDPTE0 + (linear >> 30 & 3));
        struct walk_shape below = {2, 9, 8, 2};
        return entry & ENTRY_PRESENT &&
               walk(vcpu->vm, entry & ENTRY_ADDRESS, below, linear, physical);
    }
    uint64_t directory = virt->get(vcpu, VCPU_CR3) & 0xfffff000;
    struct walk_shape two_level = {2, 10, 4, 1};
    return (cr4 & CR4_PSE && in_4m_page(vcpu->vm, directory, linear, physical)) ||
           walk(vcpu->vm, directory, two_level, linear, physical);
}

enum decode_mode guest_decode_mode(struct vcpu *vcpu) {
    if (vcpu_in_64_bit_mode(vcpu)) {
        return DECODE_64;
    }
    return virt->get(vcpu, VCPU_CS_RIGHTS) >> 14 & 1 ? DECODE_32 : DECODE_16;
}

uint64_t guest_operand_address(struct vcpu *vcpu, enum decode_mode mode,
                               const struct decoded *decoded, const uint64_t registers[16]) {
    static const enum vcpu_register bases[] = {
        [DECODE_ES] = VCPU_ES_BASE, [DECODE_CS] = VCPU_CS_BASE, [DECODE_SS] = VCPU_SS_BASE,
        [DECODE_DS] = VCPU_DS_BASE, [DECODE_FS] = VCPU_FS_BASE, [DECODE_GS] = VCPU_GS_BASE};
    uint64_t next = virt->get(vcpu, VCPU_RIP) + decoded->length;
    uint64_t linear = decode_effective_address(decoded, registers, next);
    /* In 64-bit mode only FS and GS have a base (SDM 3A 3.2.4). */
    if (mode != DECODE_64 || decoded->segment == DECODE_FS || decoded->segment == DECODE_GS) {
        linear += virt->get(vcpu, bases[decoded->segment]);
    }
    return mode == DECODE_64 ? linear : (uint32_t)linear;
}

unsigned guest_linear_read(struct vcpu *vcpu, uint64_t linear, void *to, unsigned size) {
    uint8_t *bytes = to;
    unsigned count = 0;
    while (count < size) {
        uint64_t physical, in_page = 4096 - (linear + count) % 4096;
        unsigned part = in_page < size - count ? (unsigned)in_page : size - count;
        if (!guest_translate(vcpu, linear + count, &physical) ||
            !guest_physical_read(vcpu->vm, physical, bytes + count, part)) {
            break;
        }
        count += part;
    }
    return count;
}

bool guest_operand_read(struct vcpu *vcpu, enum decode_mode mode, const struct decoded *decoded,
                        void *to, unsigned bytes) {
    uint64_t registers[16];
    vcpu_gprs(vcpu, registers);
    uint64_t linear = guest_operand_address(vcpu, mode, decoded, registers);
    return guest_linear_read(vcpu, linear, to, bytes) == bytes;
}

unsigned guest_fetch(struct vcpu *vcpu, enum decode_mode mode, uint8_t *to, unsigned size) {
    uint64_t linear = virt->get(vcpu, VCPU_RIP);
    if (mode != DECODE_64) {
        linear = (uint32_t)(linear + virt->get(vcpu, VCPU_CS_BASE));
    }
    return guest_linear_read(vcpu, linear, to, size);
}
