/* VMX instructions belong to ring 0 and to 64-bit mode: #GP and #UD elsewhere. SDM 3C chapter 31. */
#include "core/pages.h"
#include "core/string.h"
#include "cpu/control.h"
#include "cpu/descriptors.h"
#include "selftest/selftest.h"
#include "vm/virt.h"

/* Ring 3 gets a page at 3 GiB, where nothing of ours is: below 4 GiB for compatibility mode. */
enum { RING_3 = (int)0xc0000000, PRESENT = 1, WRITABLE = 2, USER = 4 };
#define TABLE_ADDRESS 0x000ffffffffff000ull

/* Our own GDT, with three more descriptors. */
enum { OWN = 5, CODE_64 = OWN * 8 | 3, DATA = (OWN + 1) * 8 | 3, CODE_32 = (OWN + 2) * 8 | 3 };

struct pseudo_descriptor {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

struct ring_3 {
    struct pseudo_descriptor gdtr; /* as it was */
    uint64_t gdt[OWN + 3];
    uint64_t *directory_entry, directory_entry_before, *table;
    uint8_t *code, *stack;
};

static uint64_t *directory_entry_of(uint64_t address, bool user) {
    uint64_t *table = (uint64_t *)(read_cr3() & TABLE_ADDRESS);
    for (int shift = 39; shift > 21; shift -= 9) {
        uint64_t *entry = &table[address >> shift & 511];
        *entry = user ? *entry | USER : *entry & ~(uint64_t)USER;
        table = (uint64_t *)(*entry & TABLE_ADDRESS);
    }
    return &table[address >> 21 & 511];
}

static void ring_3_open(struct ring_3 *ring) {
    asm volatile("sgdt %0" : "=m"(ring->gdtr));
    memcpy(ring->gdt, (const void *)ring->gdtr.base, OWN * sizeof ring->gdt[0]);
    ring->gdt[OWN] = 0x00affb000000ffff;     /* 64-bit code, DPL 3 */
    ring->gdt[OWN + 1] = 0x00cff3000000ffff; /* data, DPL 3 */
    ring->gdt[OWN + 2] = 0x00cffb000000ffff; /* 32-bit code, DPL 3 */
    const struct pseudo_descriptor gdtr = {sizeof ring->gdt - 1, (uint64_t)ring->gdt};
    asm volatile("lgdt %0" : : "m"(gdtr));

    ring->code = page_allocate();
    ring->stack = page_allocate(); /* the processor's, for the way back: RSP0 of the TSS */
    memcpy((uint8_t *)descriptors_tss_base() + 4, &(uint64_t){(uint64_t)ring->stack + PAGE_SIZE},
           sizeof(uint64_t));
    ring->table = page_allocate();
    ring->table[0] = (uint64_t)ring->code | PRESENT | WRITABLE | USER;
    ring->directory_entry = directory_entry_of((uint32_t)RING_3, true);
    ring->directory_entry_before = *ring->directory_entry;
    *ring->directory_entry = (uint64_t)ring->table | PRESENT | WRITABLE | USER;
    write_cr3(read_cr3());
}

static void ring_3_close(struct ring_3 *ring) {
    *ring->directory_entry = ring->directory_entry_before;
    directory_entry_of((uint32_t)RING_3, false);
    write_cr3(read_cr3());
    memset((uint8_t *)descriptors_tss_base() + 4, 0, sizeof(uint64_t));
    asm volatile("lgdt %0" : : "m"(ring->gdtr));
    pages_free(ring->table, 1);
    pages_free(ring->stack, 1);
    pages_free(ring->code, 1);
}

/* Operands are registers or [RSP]. VMFUNC, which root operation does not have at all, comes last. */
static const struct {
    const char *name;
    uint8_t length, bytes[6];
} instructions[] = {
    {"VMXON", 5, {0xf3, 0x0f, 0xc7, 0x34, 0x24}},
    {"VMXOFF", 3, {0x0f, 0x01, 0xc4}},
    {"VMCLEAR", 5, {0x66, 0x0f, 0xc7, 0x34, 0x24}},
    {"VMPTRLD", 4, {0x0f, 0xc7, 0x34, 0x24}},
    {"VMPTRST", 4, {0x0f, 0xc7, 0x3c, 0x24}},
    {"VMREAD", 3, {0x0f, 0x78, 0xc0}},
    {"VMWRITE", 3, {0x0f, 0x79, 0xc0}},
    {"VMCALL", 3, {0x0f, 0x01, 0xc1}},
    {"VMLAUNCH", 3, {0x0f, 0x01, 0xc2}},
    {"VMRESUME", 3, {0x0f, 0x01, 0xc3}},
    {"INVEPT", 6, {0x66, 0x0f, 0x38, 0x80, 0x04, 0x24}},
    {"INVVPID", 6, {0x66, 0x0f, 0x38, 0x81, 0x04, 0x24}},
    {"VMFUNC", 3, {0x0f, 0x01, 0xd4}},
};
enum { INSTRUCTIONS = sizeof instructions / sizeof instructions[0] };

static enum outcome run(struct ring_3 *ring, unsigned instruction, uint64_t code) {
    static const uint8_t divide_by_zero[] = {0xf7,
                                             0xf2}; /* EDX is 0: the end, if it did not fault */
    memcpy(ring->code, instructions[instruction].bytes, instructions[instruction].length);
    memcpy(ring->code + instructions[instruction].length, divide_by_zero, sizeof divide_by_zero);
    uint64_t base = (uint32_t)RING_3;
    return attempt_in_ring_3(code, base, DATA, base + PAGE_SIZE / 2);
}

static void check_ring_3(uint64_t code, unsigned count, enum outcome expected) {
    struct ring_3 ring;
    ring_3_open(&ring);
    for (unsigned i = 0; i < count; i++) {
        enum outcome outcome = run(&ring, i, code);
        check_outcome(instructions[i].name, outcome, expected);
        check(outcome != FAULTED_GP || fault_error_code == 0, "%s: #GP with error code 0x%lx",
              instructions[i].name, fault_error_code);
    }
    ring_3_close(&ring);
}

SELFTEST(ring_3_is_refused, "in ring 3 each VMX instruction of root operation is #GP(0)") {
    check_ring_3(CODE_64, INSTRUCTIONS - 1, FAULTED_GP);
}

SELFTEST(compatibility_mode_is_refused, "in compatibility mode each VMX instruction is #UD") {
    check_ring_3(CODE_32, INSTRUCTIONS, FAULTED_UD);
}

SELFTEST(ring_3_before_vmxon,
         "in ring 3 before VMXON that is #GP(0), the other instructions are #UD") {
    struct ring_3 ring;
    virt->stop();
    write_cr4(read_cr4() | CR4_VMXE);
    ring_3_open(&ring);
    for (unsigned i = 0; i < INSTRUCTIONS; i++) {
        check_outcome(instructions[i].name, run(&ring, i, CODE_64), i ? FAULTED_UD : FAULTED_GP);
    }
    ring_3_close(&ring);
    virt->start();
}
