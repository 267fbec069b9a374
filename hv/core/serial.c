#include "core/serial.h"

#include "cpu/port.h"

/* Register offsets and bits of the PC16550D data sheet, section 8. */
enum {
    DATA = 0, /* divisor low byte while DLAB is set */
    INTERRUPT_ENABLE = 1,
    FIFO_CONTROL = 2,
    LINE_CONTROL = 3,
    MODEM_CONTROL = 4,
    LINE_STATUS = 5,
    SCRATCH = 7,
};
enum { LCR_8N1 = 0x03, LCR_DLAB = 0x80 };
enum { FCR_ENABLE_AND_CLEAR = 0x07 };
enum { MCR_DTR_RTS = 0x03 };
enum { LSR_DATA_READY = 0x01, LSR_HOLDING_EMPTY = 0x20, LSR_ALL_SENT = 0x40 };

/* A wait this long without progress means a broken UART; losing output beats hanging. */
enum { PATIENCE = 10000000 };

static bool present[2];

static bool *presence(enum serial_port port) {
    return &present[port == SERIAL_COM2];
}

void serial_open(enum serial_port port) {
    outb(port + SCRATCH, 0x5a);
    if (inb(port + SCRATCH) != 0x5a) {
        return;
    }
    outb(port + INTERRUPT_ENABLE, 0);
    outb(port + LINE_CONTROL, LCR_DLAB);
    outb(port + DATA, 1); /* 115200 / 1 */
    outb(port + INTERRUPT_ENABLE, 0);
    outb(port + LINE_CONTROL, LCR_8N1);
    outb(port + FIFO_CONTROL, FCR_ENABLE_AND_CLEAR);
    outb(port + MODEM_CONTROL, MCR_DTR_RTS);
    *presence(port) = true;
}

static void wait_for(enum serial_port port, uint8_t status) {
    for (long i = 0; !(inb(port + LINE_STATUS) & status); i++) {
        if (i == PATIENCE) {
            *presence(port) = false;
            return;
        }
    }
}

void serial_write(enum serial_port port, const char *text, size_t length) {
    for (size_t i = 0; i < length && *presence(port); i++) {
        if (i % SERIAL_FIFO_DEPTH == 0) {
            wait_for(port, LSR_HOLDING_EMPTY); /* then the whole FIFO is free */
        }
        outb(port + DATA, (uint8_t)text[i]);
    }
}

void serial_drain(enum serial_port port) {
    if (*presence(port)) {
        wait_for(port, LSR_ALL_SENT);
    }
}

bool serial_read(enum serial_port port, uint8_t *byte) {
    if (!*presence(port) || !(inb(port + LINE_STATUS) & LSR_DATA_READY)) {
        return false;
    }
    *byte = inb(port + DATA);
    return true;
}
