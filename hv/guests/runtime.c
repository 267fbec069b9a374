#include "guests/runtime.h"

#include "cpu/port.h"

enum { UART = 0x3f8, LINE_STATUS = 5, LSR_READY_TO_SEND = 0x20 };

void print(const char *text) {
    for (; *text; text++) {
        while (!(inb(UART + LINE_STATUS) & LSR_READY_TO_SEND)) {
        }
        outb(UART, (uint8_t)*text);
    }
}

void print_hex(uint64_t value) {
    char digits[19] = "0x";
    unsigned length = 2;
    for (int shift = 60; shift >= 0; shift -= 4) {
        unsigned digit = value >> shift & 15;
        if (digit || length > 2 || shift == 0) {
            digits[length++] = "0123456789abcdef"[digit];
        }
    }
    digits[length] = '\0';
    print(digits);
}

void report(bool passed, uint64_t value) {
    hypercall(HYPERCALL_REPORT, passed, value);
}

noreturn void guest_exit(int code) {
    for (;;) {
        hypercall(HYPERCALL_EXIT, (uint64_t)code, 0);
    }
}
