/* Exceptions in the hypervisor itself: each is a bug, reported with all that is known. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What trap_entries.S leaves on the stack, lowest address first. */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error_code;
    uint64_t rip, cs, rflags, rsp, ss; /* pushed by the processor, SDM 3A 6.14.2 */
};
static_assert(sizeof(struct trap_frame) == 22 * 8, "trap_entries.S pushes this");

void trap(struct trap_frame *frame);

/* Asked before anything is reported: true if the exception was expected, and the frame changed so
 * that execution goes on where it should. NULL where none is: svm/quirks.c and the self-tests set it. */
extern bool (*trap_recover)(struct trap_frame *frame);
