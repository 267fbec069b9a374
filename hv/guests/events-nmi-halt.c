/* Halts in its NMI handler with interrupts off, while another NMI waits: that one is blocked until
 * IRET, so nothing can wake it (SDM 3A 6.7.1). */
#include "guests/interrupts.h"
#include "guests/runtime.h"

static void on_nmi(struct interrupt_frame *frame) {
    (void)frame;
    hypercall(HYPERCALL_NMI, 0, 0);
    print("halting for good\n");
    asm volatile("hlt");
    report(false, 0); /* not reached */
    guest_exit(1);
}

int guest_main(void) {
    interrupts_start();
    interrupts_handle(VECTOR_NMI, on_nmi);
    hypercall(HYPERCALL_NMI, 0, 0);
    report(false, 1); /* not reached */
    return 1;
}
