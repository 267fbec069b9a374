/* I/O exits: every port, and what the qualification says. SDM 3C 25.6.4, table 28-5. */
#include "selftest/bits.h"
#include "selftest/machine.h"
#include "selftest/selftest.h"
#include "vmx/vmcs.h"

enum { IN = 1 << 3, STRING = 1 << 4, REP = 1 << 5, IMMEDIATE = 1 << 6, PORT_SHIFT = 16 };

static void check_ports(uint16_t port) {
    const uint64_t dx = (uint64_t)port << PORT_SHIFT;
    const struct {
        const char *name;
        uint64_t qualification;
    } rows[] = {
        {"IN AL", dx | IN | 0},
        {"IN AX", dx | IN | 1},
        {"IN EAX", dx | IN | 3},
        {"IN AL from 71H", 0x71ull << PORT_SHIFT | IN | IMMEDIATE | 0},
        {"OUT AL", dx | 0},
        {"OUT AX", dx | 1},
        {"OUT EAX", dx | 3},
        {"OUT EAX to 70H", 0x70ull << PORT_SHIFT | IMMEDIATE | 3},
        {"INSB", dx | IN | STRING | 0},
        {"REP OUTSD", dx | STRING | REP | 3},
    };
    struct machine machine;
    machine_create(&machine, PROGRAM(io));
    machine.registers->rdx = port;
    machine.registers->rcx = 2;
    machine.registers->rsi = machine.registers->rdi = MACHINE_DATA;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!machine_runs_until(&machine, rows[i].name, REASON_IO)) {
            break;
        }
        check(vmcs_read(EXIT_QUALIFICATION) == rows[i].qualification,
              "%s at port 0x%x: the qualification is 0x%lx, not 0x%lx", rows[i].name, port,
              vmcs_read(EXIT_QUALIFICATION), rows[i].qualification);
        machine_skip(&machine);
    }
    machine_runs_until(&machine, "after all of them", REASON_HLT);
    machine_destroy(&machine);
}

SELFTEST(every_form_of_io_exits,
         "each form of IN and OUT exits, in both halves of the bitmap, and wrapping") {
    static const uint16_t ports[] = {0, 0x3f8, 0x7fff, 0x8000, 0xffff};
    for (unsigned i = 0; i < sizeof ports / sizeof ports[0]; i++) {
        check_ports(ports[i]);
    }
}
