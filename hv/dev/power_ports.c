#include "dev/power_ports.h"

enum { PULSE_OUTPUTS = 0xf0, NOT_RESET = 0x01 }; /* keyboard controller's commands F0H to FFH */
enum { FAST_RESET = 0x01, A20 = 0x02 };          /* port 92H */
enum { RESET_CPU = 0x04 };                       /* port CF9H, whatever bit 1 says about how hard */

static const char shutdown[] = "Shutdown";
enum { SHUTDOWN_LETTERS = sizeof shutdown - 1 };

uint8_t power_ports_read(const struct power_ports *power, uint16_t port) {
    switch (port) {
    case KEYBOARD_DATA_PORT:
    case KEYBOARD_PORT: return 0; /* no keyboard: nothing to read, always ready for a command */
    case PORT_92: return power->port_92 | A20;
    case RESET_PORT: return power->reset_control;
    default: return 0xff;
    }
}

static void take_letter(struct power_ports *power, uint8_t letter) {
    if (letter != shutdown[power->letters]) {
        power->letters = 0;
    }
    if (letter == shutdown[power->letters]) {
        power->letters++;
    }
    if (power->letters == SHUTDOWN_LETTERS) {
        power_ports_exit(power, 0);
    }
}

void power_ports_exit(struct power_ports *power, uint32_t code) {
    if (power->end == PLATFORM_RUNS) {
        power->end = PLATFORM_EXIT;
        power->exit_code = code;
    }
    power->letters = 0;
}

static void reset_if(struct power_ports *power, bool condition) {
    if (condition && power->end == PLATFORM_RUNS) {
        power->end = PLATFORM_RESET;
    }
}

void power_ports_write(struct power_ports *power, uint16_t port, uint8_t value) {
    switch (port) {
    case KEYBOARD_PORT: reset_if(power, value >= PULSE_OUTPUTS && !(value & NOT_RESET)); break;
    case PORT_92:
        reset_if(power, value & ~power->port_92 & FAST_RESET);
        power->port_92 = value;
        break;
    case RESET_PORT:
        reset_if(power, value & ~power->reset_control & RESET_CPU);
        power->reset_control = value;
        break;
    case SHUTDOWN_PORT: take_letter(power, value); break;
    default: break;
    }
}
