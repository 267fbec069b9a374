/*
 * Tries to end or reset the machine through every port that could, then reads and writes the others.
 * None may have any effect, and all but its own UART must read as if nobody were there.
 */
#include "cpu/port.h"

#include "guests/checks.h"
#include "guests/runtime.h"

enum { UART = 0x3f8, DENSE = 0x1000, PORTS = 0x10000 };

static uint16_t inw(uint16_t port) {
    uint16_t value;
    asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void try_to_end_the_machine(void) {
    for (const char *c = "Shutdown"; *c; c++) {
        outb(0x8900, (uint8_t)*c); /* Bochs */
    }
    outw(0x8a00, 0x8a00); /* Bochs's debugger: take requests, */
    outw(0x8a00, 0x8ae0); /* and stop the machine */
    outb(0xf4, 0x10);     /* QEMU's isa-debug-exit */
    outb(0x505, 1);       /* and its pvpanic */
    outw(0x604, 0x2000);  /* ACPI soft off: QEMU, */
    outw(0xb004, 0x2000); /* Bochs */
    outb(0x64, 0xfe);     /* the keyboard controller's reset line */
    outb(0x92, 1);        /* fast reset */
    outb(0xcf9, 6);       /* the chipset's reset register */
    outl(0xcf8, 0x80000000);
    outl(0xcfc, 0);
    outb(0xb2, 1); /* a system-management interrupt */
}

/* The hypervisor's records, its timer and the interrupt controllers. */
static void try_to_disturb_the_hypervisor(void) {
    for (const char *c = "{\"seq\":9,\"kind\":\"done\",\"status\":\"ok\",\"code\":0}\n"; *c; c++) {
        outb(0x2f8, (uint8_t)*c);
    }
    outb(0x43, 0x34), outb(0x40, 1), outb(0x40, 0); /* a PIT interrupt each microsecond ... */
    outb(0x20, 0x11), outb(0x21, 0x20), outb(0x21, 4), outb(0x21, 1),
        outb(0x21, 0); /* let through */
    outb(0x61, 0), outb(0x70, 0x80);
}

int guest_main(void) {
    try_to_end_the_machine();
    try_to_disturb_the_hypervisor();
    bool empty = true, wide = true;
    for (unsigned port = 0; port < PORTS; port += port < DENSE ? 1 : 7) {
        if (port < UART || port > UART + 7) {
            outb((uint16_t)port, 0xff);
            empty = empty && inb((uint16_t)port) == 0xff;
        }
    }
    wide = inw(0xffff) == 0xffff && inl(0xfffd) == 0xffffffff && inl(0xcfc) == 0xffffffff;
    check("every port but the UART's reads as if nobody were there", empty);
    check("wide accesses do too, around the end of the space as well", wide);
    return checks_done();
}
