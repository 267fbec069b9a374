/* Breaks the tables that the processor itself reads: page tables, descriptor tables, stacks. */
#include "guests/hostile.h"

volatile struct parameter parameter = {PARAMETER_MARK, {.text = "idt-at-the-end"}};

static const uint64_t UNMAPPED = 1ul << 40, NOT_CANONICAL = 1ul << 47, OUTSIDE = 1ul << 30;

static uint64_t own_page(void) {
    return memory_end() - 0x40000; /* free, and zero */
}

static void undefined(void) {
    asm volatile("ud2");
}

static void idt_at_the_end(void) {
    load_idt(memory_end() - 16, 0xfff); /* the gate that is needed lies behind it */
    undefined();
}

static void idt_empty(void) {
    load_idt(0, 0);
    undefined();
}

static void idt_unmapped(void) {
    load_idt(UNMAPPED, 0xfff);
    undefined();
}

static void idt_on_the_device(void) {
    load_idt(DEVICE, 0xfff);
    undefined();
}

static void gdt_at_the_end(void) {
    load_gdt(memory_end() - 8, 0xffff);
    asm volatile("mov %0, %%ds" : : "r"(0x18));
}

static void stack_outside(void) {
    asm volatile("mov %0, %%rsp; push %%rax" : : "r"(OUTSIDE));
}

static void stack_not_canonical(void) {
    interrupts_start();
    asm volatile("mov %0, %%rsp; push %%rax" : : "r"(NOT_CANONICAL));
}

static void stack_on_the_device(void) {
    asm volatile("mov %0, %%rsp; push %%rax" : : "r"(DEVICE + 128));
}

/* One page of MOVs to the device, at every linear address below 2^47: no end of them. */
static uint64_t endless_movs(void) {
    enum { MOV_RAX_TO_RBX_MINUS_8 = 0xf8438948 };
    uint64_t page = own_page(), table = page + 4096;
    for (unsigned i = 0; i < 1024; i++) {
        ((volatile uint32_t *)page)[i] = (uint32_t)MOV_RAX_TO_RBX_MINUS_8;
    }
    for (unsigned level = 0; level < 3; level++, table += 4096) {
        for (unsigned i = 0; i < 512; i++) {
            ((volatile uint64_t *)table)[i] = (table - 4096) | SMALL_PAGE;
        }
    }
    ((volatile uint64_t *)PML4)[1] = (table - 4096) | SMALL_TABLE;
    flush_tlb();
    return 1ul << 39;
}

/* The interrupt's frame goes to the device: not an instruction's access, although one at RIP looks
 * as if it were. */
static void interrupt_onto_the_device(void) {
    interrupts_start();
    hypercall(HYPERCALL_INTERRUPT, 40, 0);
    asm volatile("mov %%rbx, %%rsp\n\t"
                 "sti\n\t"
                 "jmp *%1"
                 :
                 : "b"(DEVICE + 128), "r"(endless_movs())
                 : "memory");
}

static void cr3_outside(void) {
    asm volatile("mov %0, %%cr3" : : "r"(OUTSIDE));
}

static void cr3_at_the_top(void) {
    asm volatile("mov %0, %%cr3" : : "r"((1ul << 36) - 4096));
}

static void cr3_on_the_device(void) {
    asm volatile("mov %0, %%cr3" : : "r"(DEVICE));
}

static void page_table_outside(void) {
    map_small(OUTSIDE, OUTSIDE);
    (void)*(volatile uint8_t *)OUTSIDE;
}

static void page_table_on_the_device(void) {
    map_small(OUTSIDE, DEVICE);
    (void)*(volatile uint8_t *)OUTSIDE;
}

/* Every table is the same page, and each of its entries points to itself: whatever the processor
 * reads, writes (accessed and dirty bits) or executes is that page. */
static void recursive_tables(void) {
    uint64_t page = own_page();
    for (unsigned i = 0; i < 512; i++) {
        ((volatile uint64_t *)page)[i] = page | SMALL_PAGE;
    }
    asm volatile("mov %0, %%cr3" : : "r"(page));
}

/* The common trick: the last entry of the PML4 is the PML4. Its own tables, all of them, show. */
static void recursive_entry(void) {
    volatile uint64_t *pml4 = (volatile uint64_t *)PML4;
    pml4[511] = PML4 | SMALL_TABLE;
    flush_tlb();
    const volatile uint64_t *seen = (const volatile uint64_t *)0xfffffffffffff000;
    bool right = true;
    for (unsigned i = 0; i < 512; i++) {
        right = right && (seen[i] & ~0x60ull) == (pml4[i] & ~0x60ull); /* less accessed, dirty */
    }
    survive(right, seen[511]);
}

static void execute_the_device(void) {
    ((void (*)(void))DEVICE)();
}

static const struct act acts[] = {
    {"idt-at-the-end", idt_at_the_end},
    {"idt-empty", idt_empty},
    {"idt-unmapped", idt_unmapped},
    {"idt-on-device", idt_on_the_device},
    {"gdt-at-the-end", gdt_at_the_end},
    {"stack-outside", stack_outside},
    {"stack-not-canonical", stack_not_canonical},
    {"stack-on-device", stack_on_the_device},
    {"interrupt-onto-device", interrupt_onto_the_device},
    {"cr3-outside", cr3_outside},
    {"cr3-at-the-top", cr3_at_the_top},
    {"cr3-on-device", cr3_on_the_device},
    {"page-table-outside", page_table_outside},
    {"page-table-on-device", page_table_on_the_device},
    {"recursive-tables", recursive_tables},
    {"recursive-entry", recursive_entry},
    {"execute-device", execute_the_device},
};

int guest_main(void) {
    return commit(acts, sizeof acts / sizeof acts[0]);
}
