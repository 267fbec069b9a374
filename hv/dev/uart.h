/*
 * A 16550A. Its line is as fast as can be: what is written has been sent at once, and a byte that comes
 * in is not followed by another, so that a time-out for it is due at once. Nothing that comes in is
 * lost: it waits outside until there is room.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { UART_PORT = 0x3f8, UART_PORTS = 8, UART_FIFO = 16 };

struct uart {
    uint8_t interrupt_enable; /* IER */
    uint8_t line_control;     /* LCR */
    uint8_t modem_control;    /* MCR */
    uint8_t modem_changes;    /* MSR's bits 3:0 */
    uint8_t scratch;
    uint16_t divisor;
    bool fifo; /* FCR's bit 0 */
    uint8_t trigger;
    bool overrun;
    bool sent; /* THR has become empty, and nobody was told yet */
    uint8_t received[UART_FIFO];
    uint8_t head, count;
    void (*put)(void *context, uint8_t byte);
    void *context;
};

void uart_start(struct uart *uart, void (*put)(void *context, uint8_t byte), void *context);
uint8_t uart_read(struct uart *uart, unsigned offset);
void uart_write(struct uart *uart, unsigned offset, uint8_t value);

/* Whether uart_receive has room for a byte. */
bool uart_has_room(const struct uart *uart);

/* A byte comes in; false: there is no room, or nobody listens on that line (loop mode). */
bool uart_receive(struct uart *uart, uint8_t byte);

/* Whether it asks for an interrupt, and its OUT2 lets that through. */
bool uart_interrupt(const struct uart *uart);
