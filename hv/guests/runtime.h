/* What the small guests share. A guest is one file with a guest_main; its result is its exit code. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

#include "guests/hypercall.h"

int guest_main(void);

static inline uint64_t hypercall(enum hypercall number, uint64_t first, uint64_t second) {
    uint64_t result;
    asm volatile(HYPERCALL_INSTRUCTION
                 : "=a"(result)
                 : "a"((uint64_t)number), "D"(first), "S"(second)
                 : "memory");
    return result;
}

/* Prints on the guest's UART, one byte at a time like any driver. */
void print(const char *text);
void print_hex(uint64_t value);

/* Becomes a `report` record. */
void report(bool passed, uint64_t value);

noreturn void guest_exit(int code);
