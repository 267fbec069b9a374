#include "dev/platform.h"

void platform_start(struct platform *platform, uint64_t tsc_hz, uint64_t boot_seconds,
                    void (*put)(void *context, uint8_t byte), void *context) {
    (void)tsc_hz, (void)boot_seconds;
    *platform = (struct platform){.deadline = UINT64_MAX};
    uart_start(&platform->uart, put, context);
}

static bool is_uart(uint16_t port) {
    return port >= UART_PORT && port < UART_PORT + UART_PORTS;
}

uint8_t platform_read(struct platform *platform, uint16_t port, uint64_t now) {
    (void)now;
    /* nobody there: reads all ones and swallows writes, as on a PC */
    return is_uart(port) ? uart_read(&platform->uart, port - UART_PORT) : 0xff;
}

void platform_write(struct platform *platform, uint16_t port, uint8_t value, uint64_t now) {
    (void)now;
    if (is_uart(port)) {
        uart_write(&platform->uart, port - UART_PORT, value);
    }
}

void platform_advance(struct platform *platform, uint64_t now) {
    (void)platform, (void)now;
}

uint8_t platform_acknowledge(struct platform *platform, uint64_t now) {
    (void)platform, (void)now;
    return 0;
}

bool platform_receive(struct platform *platform, uint8_t byte) {
    (void)platform, (void)byte;
    return false;
}
