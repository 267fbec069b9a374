#include "core/serial.h"

#include "core/time.h"
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
enum { FCR_DISABLE = 0, FCR_ENABLE_AND_CLEAR = 0x07 };
enum { MCR_DTR_RTS = 0x03 };
enum { LSR_DATA_READY = 0x01, LSR_HOLDING_EMPTY = 0x20, LSR_ALL_SENT = 0x40 };

/* A wait this long without progress means a broken UART; losing output beats hanging. */
enum { PATIENCE = 10000000 };

/* Five bytes' time at 115200 baud: Bochs's UART that was not read looks for a byte every fourth. */
enum { NEXT_BYTE_MICROSECONDS = 430 };

struct line {
    bool present;
    unsigned depth; /* bytes that it takes to send once it has none */
    unsigned room;  /* bytes that may be written without another look */
};

static struct line lines[2];

static struct line *line_of(enum serial_port port) {
    return &lines[port == SERIAL_COM2];
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
    *line_of(port) = (struct line){.present = true, .depth = SERIAL_FIFO_DEPTH};
}

static void wait_for(enum serial_port port, uint8_t status) {
    for (long i = 0; !(inb(port + LINE_STATUS) & status); i++) {
        if (i == PATIENCE) {
            line_of(port)->present = false;
            return;
        }
    }
}

void serial_take_singly(enum serial_port port) {
    struct line *line = line_of(port);
    if (line->present) {
        serial_drain(port); /* switching off the FIFOs empties them */
        outb(port + FIFO_CONTROL, FCR_DISABLE);
        line->depth = 1;
        line->room = 0;
    }
}

void serial_write(enum serial_port port, const char *text, size_t length) {
    struct line *line = line_of(port);
    for (size_t i = 0; i < length && line->present; i++) {
        if (!line->room) {
            wait_for(port, LSR_HOLDING_EMPTY); /* then the whole FIFO is free */
            line->room = line->depth;
        }
        outb(port + DATA, (uint8_t)text[i]);
        line->room--;
    }
}

void serial_drain(enum serial_port port) {
    if (line_of(port)->present) {
        wait_for(port, LSR_ALL_SENT);
    }
}

bool serial_read(enum serial_port port, uint8_t *byte) {
    if (!line_of(port)->present || !(inb(port + LINE_STATUS) & LSR_DATA_READY)) {
        return false;
    }
    *byte = inb(port + DATA);
    return true;
}

bool serial_read_next(enum serial_port port, uint8_t *byte) {
    bool waits = line_of(port)->depth == 1; /* in a FIFO it would be already */
    uint64_t until = time_microseconds() + NEXT_BYTE_MICROSECONDS;
    do {
        if (serial_read(port, byte)) {
            return true;
        }
    } while (waits && time_microseconds() < until);
    return false;
}
