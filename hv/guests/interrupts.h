/*
 * An IDT for guests in 64-bit mode: handlers that can be set, a record of the exceptions that nobody
 * handles, and a way to try something that may fault.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum interrupt_vector {
    VECTOR_DIVIDE_ERROR = 0,
    VECTOR_DEBUG = 1,
    VECTOR_NMI = 2,
    VECTOR_BREAKPOINT = 3,
    VECTOR_INVALID_OPCODE = 6,
    VECTOR_DEVICE_NOT_AVAILABLE = 7,
    VECTOR_DOUBLE_FAULT = 8,
    VECTOR_SEGMENT_NOT_PRESENT = 11,
    VECTOR_STACK_FAULT = 12,
    VECTOR_GENERAL_PROTECTION = 13,
    VECTOR_PAGE_FAULT = 14,
    VECTOR_ALIGNMENT_CHECK = 17,
    VECTOR_COUNT = 256,
};

enum { GUEST_CODE_SELECTOR = 0x10, GUEST_DATA_SELECTOR = 0x18 }; /* vm/loader.h */

enum rflags {
    RFLAGS_TF = 1 << 8,
    RFLAGS_IF = 1 << 9,
    RFLAGS_RF = 1 << 16,
    RFLAGS_AC = 1 << 18,
};

/* What a handler sees and may change; it returns to rip. */
struct interrupt_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rdx, rcx, rbx, rax;
    uint64_t vector, error_code; /* 0 where the exception has none */
    uint64_t rip, cs, rflags, rsp, ss;
};

typedef void (*interrupt_handler)(struct interrupt_frame *frame);

/* SDM 3A 6.14.1 */
struct interrupt_gate {
    uint16_t offset_low, selector;
    uint8_t ist, type; /* type: present 7, DPL 6:5, 0xe interrupt gate */
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};

/* For tests that break it. */
extern struct interrupt_gate interrupts_idt[VECTOR_COUNT];

/* Loads the IDT. What has no handler ends the guest, with a failed report of 0xbad00 + its vector. */
void interrupts_start(void);
void interrupts_handle(unsigned vector, interrupt_handler handler);

struct caught {
    bool any;
    uint8_t vector;
    uint32_t error_code;
    uint64_t rip, rflags, cr2;
};

/* Calls code(argument); an exception without a handler ends the call, and is told. Not nested. */
struct caught attempt(void (*code)(uint64_t argument), uint64_t argument);

/* Was it that exception, with that error code? */
static inline bool is(struct caught caught, enum interrupt_vector vector, uint32_t error_code) {
    return caught.any && caught.vector == vector && caught.error_code == error_code;
}
