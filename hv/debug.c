#include "debug.h"

#include <stdint.h>

#include "core/image.h"
#include "core/string.h"

enum debug debug;

static const char *const words[] = {
    [DEBUG_PANIC] = "panic",
    [DEBUG_NULL] = "null",
    [DEBUG_NULL_IN_EXIT] = "null-in-exit",
    [DEBUG_WRITE_TEXT] = "write-text",
    [DEBUG_EXECUTE_DATA] = "execute-data",
    [DEBUG_STACK_OVERFLOW] = "stack-overflow",
    [DEBUG_TRIPLE_FAULT] = "triple-fault",
    [DEBUG_SPIN] = "spin",
    [DEBUG_GO_ON] = "go-on",
    [DEBUG_BAD_CONTROLS] = "bad-controls",
    [DEBUG_BAD_HOST] = "bad-host",
    [DEBUG_BAD_EPT] = "bad-ept",
    [DEBUG_BAD_GUEST] = "bad-guest",
};

bool debug_parse(const char *word) {
    for (unsigned i = 1; i < sizeof words / sizeof words[0]; i++) {
        if (text_equal(word, words[i])) {
            debug = (enum debug)i;
            return true;
        }
    }
    return false;
}

static unsigned overflow(volatile unsigned *depth) {
    volatile unsigned here = *depth + 1;
    return here ? overflow(&here) + here : 0; /* the stack ends long before the counter does */
}

static void fault_without_idt(void) {
    const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) none = {0, 0};
    asm volatile("lidt %0\n\tud2" : : "m"(none));
}

void debug_run(void) {
    static uint8_t data[1] = {0xc3}; /* RET */
    static volatile unsigned depth;
    uint8_t *volatile null = 0; /* volatile, so that the compiler can't see what it points to */
    void (*volatile code)(void) = (void (*)(void))data;
    switch (debug) {
    case DEBUG_NULL: depth = *null; break;
    case DEBUG_WRITE_TEXT: *(volatile uint8_t *)(uintptr_t)image_start = 0; break;
    case DEBUG_EXECUTE_DATA: code(); break;
    case DEBUG_STACK_OVERFLOW: depth = overflow(&depth); break;
    case DEBUG_TRIPLE_FAULT: fault_without_idt(); break;
    case DEBUG_SPIN:
        for (;;) {
            asm volatile("pause");
        }
    case DEBUG_NONE:
    case DEBUG_PANIC:
    case DEBUG_NULL_IN_EXIT:
    case DEBUG_GO_ON:
    case DEBUG_BAD_CONTROLS:
    case DEBUG_BAD_HOST:
    case DEBUG_BAD_EPT:
    case DEBUG_BAD_GUEST: break;
    }
}
