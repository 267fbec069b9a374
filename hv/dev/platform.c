#include "dev/platform.h"

enum { TIMER_LINE = 0, UART_LINE = 4, CLOCK_LINE = 8 };

/* The two words that the processor's side looks at. While IRQ 0 is requested anyway the timer's next
 * edge changes nothing, so nobody need wait for it. */
static void settle(struct platform *platform) {
    struct pic *pic = &platform->pic;
    pic_set_line(pic, TIMER_LINE, platform->pit.output);
    pic_set_line(pic, UART_LINE, uart_interrupt(&platform->uart));
    pic_set_line(pic, CLOCK_LINE, rtc_interrupt(&platform->rtc));
    uint64_t timer = pic_is_requested(pic, TIMER_LINE) ? TICKS_NEVER : platform->pit.rise;
    platform->deadline = timer < platform->rtc.due ? timer : platform->rtc.due;
    platform->interrupt = pic_output(pic);
}

/* Everything as it is at that time, but for `deadline` and `interrupt`. */
static void catch_up(struct platform *platform, uint64_t now) {
    if (pit_advance(&platform->pit, now)) {
        pic_set_line(&platform->pic, TIMER_LINE, false);
        pic_set_line(&platform->pic, TIMER_LINE, true);
    }
    if (now >= platform->rtc.due) {
        rtc_advance(&platform->rtc, now);
    }
}

void platform_advance(struct platform *platform, uint64_t now) {
    catch_up(platform, now);
    settle(platform);
}

uint8_t platform_acknowledge(struct platform *platform, uint64_t now) {
    catch_up(platform, now);
    uint8_t vector = pic_acknowledge(&platform->pic);
    settle(platform);
    return vector;
}

enum device { NOBODY, PIC, PIT, RTC, UART, POWER };

/* Who has a port. Most that are asked for have nobody: guests look for what isn't there. */
static enum device device_at(uint16_t port) {
    switch (port >> 3) {
    case UART_PORT >> 3: return UART;
    case PIC_MASTER_PORT >> 3:
    case PIC_SLAVE_PORT >> 3:
    case PIC_ELCR_PORT >> 3: return (port & 7) < 2 ? PIC : NOBODY;
    case PIT_PORT >> 3: return (port & 7) < PIT_PORTS ? PIT : NOBODY;
    case RTC_PORT >> 3: return (port & 7) < 2 ? RTC : NOBODY;
    case PIT_CONTROL_PORT >> 3:
        return port == PIT_CONTROL_PORT                              ? PIT
               : port == KEYBOARD_DATA_PORT || port == KEYBOARD_PORT ? POWER
                                                                     : NOBODY;
    case PORT_92 >> 3:
    case EXIT_PORT >> 3:
    case RESET_PORT >> 3:
    case SHUTDOWN_PORT >> 3: return POWER;
    default: return NOBODY;
    }
}

static uint8_t read_byte(struct platform *platform, uint16_t port, uint64_t now) {
    enum device device = device_at(port);
    if (device == NOBODY) {
        return 0xff; /* reads all ones and swallows writes, as on a PC; that is port 80H too */
    }
    uint8_t value = 0xff;
    catch_up(platform, now);
    switch (device) {
    case PIC: value = pic_read(&platform->pic, port); break;
    case PIT: value = pit_read(&platform->pit, port, now); break;
    case RTC: value = rtc_read(&platform->rtc, port, now); break;
    case UART: value = uart_read(&platform->uart, port - UART_PORT); break;
    case POWER: value = power_ports_read(&platform->power, port); break;
    case NOBODY: break;
    }
    settle(platform);
    return value;
}

static void write_byte(struct platform *platform, uint16_t port, uint8_t value, uint64_t now) {
    enum device device = device_at(port);
    if (device == NOBODY) {
        return;
    }
    catch_up(platform, now);
    switch (device) {
    case PIC: pic_write(&platform->pic, port, value); break;
    case PIT: pit_write(&platform->pit, port, value, now); break;
    case RTC: rtc_write(&platform->rtc, port, value, now); break;
    case UART: uart_write(&platform->uart, port - UART_PORT, value); break;
    case POWER: power_ports_write(&platform->power, port, value); break;
    case NOBODY: break;
    }
    settle(platform);
}

/* PCI's address register exists only for whole accesses: what they would leave in CF9H is no reset. */
static bool is_pci_address(uint16_t port, unsigned size) {
    return port == 0xcf8 && size == 4;
}

/* Devices here have 8-bit registers: a wider access is as many accesses, as on the ISA bus. */
uint32_t platform_read(struct platform *platform, uint16_t port, unsigned size, uint64_t now) {
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte =
            is_pci_address(port, size) ? 0xff : read_byte(platform, (uint16_t)(port + i), now);
        value |= (uint32_t)byte << 8 * i;
    }
    return value;
}

void platform_write(struct platform *platform, uint16_t port, unsigned size, uint32_t value,
                    uint64_t now) {
    if (is_pci_address(port, size)) {
        return;
    }
    if (port == EXIT_PORT) { /* its register is 32 bits wide */
        power_ports_exit(&platform->power, value & (uint32_t)((1ull << 8 * size) - 1));
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        write_byte(platform, (uint16_t)(port + i), (uint8_t)(value >> 8 * i), now);
    }
}

bool platform_has_room(const struct platform *platform) {
    return uart_has_room(&platform->uart);
}

bool platform_receive(struct platform *platform, uint8_t byte) {
    bool received = uart_receive(&platform->uart, byte);
    settle(platform);
    return received;
}

void platform_start(struct platform *platform, uint64_t tsc_hz, uint64_t boot_seconds,
                    void (*put)(void *context, uint8_t byte), void *context) {
    *platform = (struct platform){.power.end = PLATFORM_RUNS};
    pic_start(&platform->pic);
    pit_start(&platform->pit, tsc_hz);
    rtc_start(&platform->rtc, tsc_hz, boot_seconds);
    uart_start(&platform->uart, put, context);
    settle(platform);
}
