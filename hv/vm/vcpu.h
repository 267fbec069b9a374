/* A guest's processor, as far as vendors agree on it. */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

struct vm;

/* In the order in which the exit path pushes them, rax first: see vmx/entry.S. */
struct guest_registers {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rdx, rcx, rbx, rax;
};
static_assert(sizeof(struct guest_registers) == 15 * 8, "entry.S pushes and pops fifteen");

struct vcpu {
    struct guest_registers registers; /* first: the assembly takes one for the other */
    struct vm *vm;
};

/* Where a guest begins: 64-bit mode, flat segments, interrupts off. Guest-virtual addresses but cr3. */
struct vcpu_start {
    uint64_t rip, rsp;
    uint64_t cr3;
    uint64_t gdt_base;
    uint16_t gdt_limit;
    uint16_t code_selector, data_selector;
};

/* The registers that the hardware keeps, for a crash record. */
struct vcpu_state {
    uint64_t rip, rsp, rflags, cr0, cr3, cr4, efer;
};
