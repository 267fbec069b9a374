/*
 * Ports by which a guest ends or resets its machine, and those of them that only look like it: the
 * keyboard controller (60H, 64H), 92H, CF9H, and two that emulators have: 0F4H is QEMU's isa-debug-exit
 * (here the value is the exit code as it is), 8900H is Bochs's "Shutdown".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum platform_end { PLATFORM_RUNS, PLATFORM_EXIT, PLATFORM_RESET };

enum {
    KEYBOARD_DATA_PORT = 0x60,
    KEYBOARD_PORT = 0x64,
    PORT_92 = 0x92,
    EXIT_PORT = 0xf4,
    RESET_PORT = 0xcf9,
    SHUTDOWN_PORT = 0x8900,
};

struct power_ports {
    enum platform_end end;
    uint32_t exit_code; /* with PLATFORM_EXIT */
    uint8_t port_92, reset_control;
    uint8_t letters; /* of "Shutdown" so far */
};

uint8_t power_ports_read(const struct power_ports *power, uint16_t port);
void power_ports_write(struct power_ports *power, uint16_t port, uint8_t value);
void power_ports_exit(struct power_ports *power, uint32_t code);
