/*
 * Tries to end or reset the machine through every port that could, disturbs timer and interrupt
 * controllers, then reads and writes the ports where its own machine has nothing. None may have any
 * effect on anybody else, and those must read as if nobody were there. By which ports a guest ends its
 * own machine is in ends.c.
 */
#include "cpu/port.h"

#include "guests/checks.h"
#include "guests/runtime.h"

enum { DENSE = 0x1000, PORTS = 0x10000 };

/* What its own machine has: dev/platform.c. */
static const struct {
    uint16_t first, last;
} own[] = {{0x20, 0x21},   {0x40, 0x43},   {0x60, 0x61},   {0x64, 0x64},
           {0x70, 0x71},   {0x92, 0x92},   {0xa0, 0xa1},   {0xf4, 0xf4},
           {0x3f8, 0x3ff}, {0x4d0, 0x4d1}, {0xcf9, 0xcf9}, {0x8900, 0x8900}};

static bool is_own(unsigned port) {
    for (unsigned i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (port >= own[i].first && port <= own[i].last) {
            return true;
        }
    }
    return false;
}

static uint16_t inw(uint16_t port) {
    uint16_t value;
    asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void try_to_end_the_machine(void) {
    outw(0x8a00, 0x8a00);    /* Bochs's debugger: take requests, */
    outw(0x8a00, 0x8ae0);    /* and stop the machine */
    outb(0x505, 1);          /* QEMU's pvpanic */
    outw(0x604, 0x2000);     /* ACPI soft off: QEMU, */
    outw(0xb004, 0x2000);    /* Bochs */
    outl(0xcf8, 0x80000400); /* would be a reset if it reached CF9H */
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
        if (!is_own(port)) {
            outb((uint16_t)port, 0xff);
            empty = empty && inb((uint16_t)port) == 0xff;
        }
    }
    wide = inw(0xffff) == 0xffff && inl(0xfffd) == 0xffffffff && inl(0xcfc) == 0xffffffff;
    check("every port but its own reads as if nobody were there", empty);
    check("wide accesses do too, around the end of the space as well", wide);
    return checks_done();
}
