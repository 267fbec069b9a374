#include "dev/uart.h"

/* PC16550D data sheet, section 8 */
enum { DATA = 0, LINE_CONTROL = 3, LINE_STATUS = 5, SCRATCH = 7 };
enum { LCR_DLAB = 0x80, LSR_READY_TO_SEND = 0x60 };

void uart_start(struct uart *uart, void (*put)(void *context, uint8_t byte), void *context) {
    *uart = (struct uart){.put = put, .context = context};
}

void uart_write(struct uart *uart, unsigned offset, uint8_t value) {
    switch (offset) {
    case DATA:
        if (!(uart->line_control & LCR_DLAB)) { /* else it is the divisor */
            uart->put(uart->context, value);
        }
        break;
    case LINE_CONTROL: uart->line_control = value; break;
    case SCRATCH: uart->scratch = value; break;
    default: break;
    }
}

uint8_t uart_read(struct uart *uart, unsigned offset) {
    switch (offset) {
    case LINE_CONTROL: return uart->line_control;
    case LINE_STATUS: return LSR_READY_TO_SEND;
    case SCRATCH: return uart->scratch;
    default: return 0;
    }
}
