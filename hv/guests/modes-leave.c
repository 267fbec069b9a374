/*
 * Starts in long mode and turns paging off. Without unrestricted guest a processor can't go on like that
 * in a guest, which must then be stopped with that reason; with it, it ends well.
 */
#include "cpu/control.h"
#include "guests/runtime.h"

static const uint64_t gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff}; /* 32-bit, flat */

int guest_main(void) {
    const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) gdtr = {sizeof gdt - 1, (uint64_t)gdt};
    print("turning paging off\n");
    asm volatile("lgdt %0\n"
                 "push $0x08\n"
                 "push $1f\n"
                 "lretq\n"
                 ".code32\n"
                 "1: mov $0x10, %%eax\n"
                 "mov %%eax, %%ss\n"
                 "mov %%eax, %%ds\n"
                 "mov %%cr0, %%eax\n"
                 "and $0x7fffffff, %%eax\n"
                 "mov %%eax, %%cr0\n"
                 "mov %1, %%eax; mov $1, %%edi; mov %%cr0, %%esi\n" HYPERCALL_INSTRUCTION
                 "mov %2, %%eax; xor %%edi, %%edi\n" HYPERCALL_INSTRUCTION ".code64"
                 :
                 : "m"(gdtr), "i"(HYPERCALL_REPORT), "i"(HYPERCALL_EXIT)
                 : "memory");
    return 1;
}
