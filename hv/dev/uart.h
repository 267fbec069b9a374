/* The smallest 16550 that guests can print through: always ready to send, never anything to read. */
#pragma once

#include <stdint.h>

enum { UART_PORT = 0x3f8, UART_PORTS = 8 };

struct uart {
    uint8_t scratch, line_control;
    void (*put)(void *context, uint8_t byte);
    void *context;
};

void uart_start(struct uart *uart, void (*put)(void *context, uint8_t byte), void *context);
uint8_t uart_read(struct uart *uart, unsigned offset);
void uart_write(struct uart *uart, unsigned offset, uint8_t value);
