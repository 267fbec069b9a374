/* Reads an MSR that it may, and one that does not exist: that must be #GP, caught by a handler here. */
#include "cpu/msr.h"

#include "guests/runtime.h"

enum { VECTOR_GENERAL_PROTECTION = 13, CODE_SELECTOR = 0x10, GATE_INTERRUPT_64 = 0x8e };
enum { NO_SUCH_MSR = 0x12345678 };

/* SDM 3A 6.14.1 */
struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};

static struct gate idt[32];
static volatile uint64_t faults;

/* The frame: error code, then RIP of the faulting RDMSR or WRMSR, both two bytes long. */
__attribute__((naked)) static void general_protection(void) {
    asm volatile("lock incq faults(%rip)\n\t"
                 "addq $2, 8(%rsp)\n\t"
                 "addq $8, %rsp\n\t"
                 "iretq");
}

int guest_main(void) {
    uint64_t handler = (uint64_t)general_protection;
    idt[VECTOR_GENERAL_PROTECTION] = (struct gate){
        .offset_low = (uint16_t)handler,
        .selector = CODE_SELECTOR,
        .type = GATE_INTERRUPT_64,
        .offset_middle = (uint16_t)(handler >> 16),
        .offset_high = (uint32_t)(handler >> 32),
    };
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) idtr = {sizeof idt - 1, (uint64_t)idt};
    asm volatile("lidt %0" : : "m"(idtr));

    uint64_t efer = rdmsr(IA32_EFER);
    bool long_mode = efer >> 10 & 1; /* LMA */
    bool readable_without_fault = faults == 0;
    rdmsr((enum msr)NO_SUCH_MSR);
    wrmsr((enum msr)NO_SUCH_MSR, 0);
    print("faults: ");
    print_hex(faults);
    print("\n");
    bool passed = long_mode && readable_without_fault && faults == 2;
    report(passed, faults);
    return passed ? 0 : 1;
}
