/* Reaches a device page by an instruction that is no MOV; which one is the parameter. It is stopped. */
#include "cpu/control.h"
#include "guests/parameter.h"
#include "guests/runtime.h"

volatile struct parameter parameter = {PARAMETER_MARK, {.text = "add"}};

/* Called with two of the device's addresses in RDI and RSI. */
#define INSTRUCTION(name, text)                      \
    void name(uint64_t device, uint64_t device_too); \
    asm(".pushsection .text\n" #name ": " text "\nret\n.popsection")

INSTRUCTION(mmio_add, "add %eax, (%rdi)");
INSTRUCTION(add_from, "add (%rdi), %eax");
INSTRUCTION(mmio_compare, "cmp %eax, (%rdi)");
INSTRUCTION(mmio_exchange, "xchg %eax, (%rdi)");
INSTRUCTION(mmio_locked, "lock incl (%rdi)");
INSTRUCTION(bit_test, "btsl %eax, (%rdi)");
INSTRUCTION(push_from, "push (%rdi)");
INSTRUCTION(call_through, "call *(%rdi)");
INSTRUCTION(move_string, "movsb");
INSTRUCTION(store_string, "stosl");
INSTRUCTION(mmio_repeated, "rep movsb");
INSTRUCTION(sse_load, "movups (%rdi), %xmm0");
INSTRUCTION(sse_store, "movups %xmm0, (%rdi)");
INSTRUCTION(x87_load, "fildl (%rdi)");
INSTRUCTION(non_temporal, "movnti %eax, (%rdi)");
INSTRUCTION(jump_there, "jmp *%rdi");

static const struct {
    const char *name;
    void (*execute)(uint64_t device, uint64_t device_too);
} instructions[] = {
    {"add", mmio_add},
    {"add-from", add_from},
    {"compare", mmio_compare},
    {"exchange", mmio_exchange},
    {"locked", mmio_locked},
    {"bit-test", bit_test},
    {"push-from", push_from},
    {"call-through", call_through},
    {"move-string", move_string},
    {"store-string", store_string},
    {"repeated", mmio_repeated},
    {"sse-load", sse_load},
    {"sse-store", sse_store},
    {"x87-load", x87_load},
    {"non-temporal", non_temporal},
    {"jump-there", jump_there},
};

static bool is_parameter(const char *name) {
    unsigned i = 0;
    while (name[i] && name[i] == parameter.text[i]) {
        i++;
    }
    return name[i] == parameter.text[i];
}

int guest_main(void) {
    write_cr4(read_cr4() | CR4_OSFXSR);
    for (unsigned i = 0; i < sizeof instructions / sizeof instructions[0]; i++) {
        if (is_parameter(instructions[i].name)) {
            instructions[i].execute(0xd0000000, 0xd0000008);
        }
    }
    report(false, 0); /* not reached */
    return 1;
}
