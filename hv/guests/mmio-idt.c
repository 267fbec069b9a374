/* Puts its IDT on a device page: no processor's delivery can be emulated there, so it is stopped. The
 * instruction at which the NMI comes is a plain MOV from the very gate, as if that were the access. */
#include "guests/interrupts.h"
#include "guests/runtime.h"

enum { DEVICE = (int)0xd0000000, GATE_SIZE = 16 };

int guest_main(void) {
    const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) idtr = {0xfff, (uint32_t)DEVICE};
    asm volatile("lidt %0" : : "m"(idtr));
    print("taking an NMI through a device\n");
    asm volatile(HYPERCALL_INSTRUCTION "mov (%1), %%rax\n"
                                       "mov (%1), %%rax\n"
                 :
                 : "a"(HYPERCALL_NMI), "r"((uint64_t)(uint32_t)DEVICE + 2 * GATE_SIZE)
                 : "memory");
    report(false, 0); /* not reached */
    return 1;
}
