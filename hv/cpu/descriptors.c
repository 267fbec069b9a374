#include "cpu/descriptors.h"

#include <assert.h>

#include "core/pages.h"

/* SDM 3A 7.7, figure 7-11 */
struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map_base;
} __attribute__((packed));
static_assert(sizeof(struct tss) == 104, "SDM 3A 7.7");

/* SDM 3A 6.14.1 */
struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};
static_assert(sizeof(struct gate) == 16, "SDM 3A 6.14.1");

struct pseudo_descriptor {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

enum { EXCEPTIONS = 32, VECTORS = 256, GATE_INTERRUPT_64 = 0x8e /* present, DPL 0 */ };

/*
 * These can strike when the stack itself is the trouble, or between a VM exit and the switch to
 * the hypervisor's stack (entry.S), so each has a stack of its own.
 */
enum { VECTOR_NMI = 2, VECTOR_DOUBLE_FAULT = 8, VECTOR_MACHINE_CHECK = 18, IST_STACKS = 3 };

struct guarded_stack {
    uint8_t guard[PAGE_SIZE];
    uint8_t space[2 * PAGE_SIZE];
};

static struct guarded_stack ist_stacks[IST_STACKS]
    __attribute__((aligned(PAGE_SIZE), section(".bss.guard,\"aw\",@nobits#")));
static struct tss tss;
static uint64_t gdt[5];
static struct gate idt[VECTORS] __attribute__((aligned(16)));

extern const uint64_t trap_entries[EXCEPTIONS]; /* core/trap_entries.S */
extern const char interrupt_entry[];            /* likewise; calls *interrupt_handler */
void (*interrupt_handler)(void);

static unsigned ist_of(unsigned vector) {
    switch (vector) {
    case VECTOR_NMI: return 1;
    case VECTOR_DOUBLE_FAULT: return 2;
    case VECTOR_MACHINE_CHECK: return 3;
    default: return 0;
    }
}

static struct gate interrupt_gate(uint64_t entry, unsigned ist) {
    return (struct gate){
        .offset_low = (uint16_t)entry,
        .selector = SELECTOR_CODE,
        .ist = (uint8_t)ist,
        .type = GATE_INTERRUPT_64,
        .offset_middle = (uint16_t)(entry >> 16),
        .offset_high = (uint32_t)(entry >> 32),
    };
}

void descriptors_handle_interrupts(void (*handler)(void)) {
    interrupt_handler = handler;
    for (unsigned vector = EXCEPTIONS; vector < VECTORS; vector++) {
        idt[vector] = interrupt_gate((uint64_t)interrupt_entry, 0);
    }
}

void descriptors_start(void) {
    for (unsigned i = 0; i < IST_STACKS; i++) {
        tss.ist[i] = (uint64_t)(&ist_stacks[i] + 1);
    }
    tss.io_map_base = sizeof tss;

    uint64_t base = (uint64_t)&tss;
    gdt[1] = 0x00af9b000000ffff; /* 64-bit code, accessed */
    gdt[2] = 0x00cf93000000ffff; /* data, writable, accessed */
    gdt[3] = (sizeof tss - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    gdt[4] = base >> 32;
    struct pseudo_descriptor gdtr = {sizeof gdt - 1, (uint64_t)gdt};
    asm volatile("lgdt %0\n\t"
                 "push %1\n\t"
                 "lea 1f(%%rip), %%rax\n\t"
                 "push %%rax\n\t"
                 "lretq\n"
                 "1:\n\t"
                 "mov %2, %%ds\n\t"
                 "mov %2, %%es\n\t"
                 "mov %2, %%ss\n\t"
                 "ltr %w3"
                 :
                 : "m"(gdtr), "i"(SELECTOR_CODE), "r"(SELECTOR_DATA), "r"(SELECTOR_TSS)
                 : "rax", "memory");

    for (unsigned vector = 0; vector < EXCEPTIONS; vector++) {
        idt[vector] = interrupt_gate(trap_entries[vector], ist_of(vector));
    }
    struct pseudo_descriptor idtr = {sizeof idt - 1, (uint64_t)idt};
    asm volatile("lidt %0" : : "m"(idtr));
}

uint64_t descriptors_tss_base(void) {
    return (uint64_t)&tss;
}

uint64_t descriptors_gdt_base(void) {
    return (uint64_t)gdt;
}

uint64_t descriptors_idt_base(void) {
    return (uint64_t)idt;
}

bool descriptors_is_stack_guard(uint64_t address) {
    for (unsigned i = 0; i < IST_STACKS; i++) {
        if (address == (uint64_t)ist_stacks[i].guard) {
            return true;
        }
    }
    return false;
}
