#include "dev/uart.h"

/* PC16550D data sheet, section 8 */
enum {
    DATA = 0, /* RBR and THR; with DLAB the divisor's lower half */
    INTERRUPT_ENABLE = 1,
    INTERRUPT_IDENT = 2, /* read */
    FIFO_CONTROL = 2,    /* written */
    LINE_CONTROL = 3,
    MODEM_CONTROL = 4,
    LINE_STATUS = 5,
    MODEM_STATUS = 6,
    SCRATCH = 7,
};

enum { IER_RECEIVED = 1, IER_SENT = 2, IER_LINE_STATUS = 4, IER_MODEM_STATUS = 8, IER_ALL = 15 };

/* In the order of their priority (table 8-4). */
enum {
    IIR_LINE_STATUS = 6,
    IIR_RECEIVED = 4,
    IIR_TIME_OUT = 12,
    IIR_SENT = 2,
    IIR_MODEM_STATUS = 0,
    IIR_NONE = 1,
    IIR_FIFO = 0xc0,
};

enum { FCR_ENABLE = 1, FCR_CLEAR_RECEIVED = 2 };
enum { LCR_DLAB = 0x80 };
enum { LSR_DATA = 1, LSR_OVERRUN = 2, LSR_THR_EMPTY = 0x20, LSR_ALL_SENT = 0x40 };

enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 16, MCR_ALL = 31 };

enum {
    MSR_DELTA_CTS = 1,
    MSR_DELTA_DSR = 2,
    MSR_TRAILING_EDGE_RI = 4,
    MSR_DELTA_DCD = 8,
    MSR_CTS = 0x10,
    MSR_DSR = 0x20,
    MSR_RI = 0x40,
    MSR_DCD = 0x80,
};

static bool has_divisor_latch(const struct uart *uart) {
    return uart->line_control & LCR_DLAB;
}

static bool in_loop(const struct uart *uart) {
    return uart->modem_control & MCR_LOOP;
}

static unsigned room(const struct uart *uart) {
    return uart->fifo ? UART_FIFO : 1;
}

bool uart_has_room(const struct uart *uart) {
    return uart->count < room(uart) && !in_loop(uart);
}

static void append(struct uart *uart, uint8_t byte) {
    if (uart->count < room(uart)) {
        uart->received[(uart->head + uart->count++) % UART_FIFO] = byte;
    } else {
        uart->overrun = true;
        if (!uart->fifo) { /* with FIFOs the byte that came is lost, without the one before */
            uart->received[uart->head] = byte;
        }
    }
}

bool uart_receive(struct uart *uart, uint8_t byte) {
    if (!uart_has_room(uart)) {
        return false;
    }
    append(uart, byte);
    return true;
}

/* The highest interrupt of those that are enabled, as the IIR shows it. */
static uint8_t interrupt_ident(const struct uart *uart) {
    uint8_t enabled = uart->interrupt_enable;
    if (enabled & IER_LINE_STATUS && uart->overrun) {
        return IIR_LINE_STATUS;
    }
    if (enabled & IER_RECEIVED && uart->count) {
        return !uart->fifo || uart->count >= uart->trigger ? IIR_RECEIVED : IIR_TIME_OUT;
    }
    if (enabled & IER_SENT && uart->sent) {
        return IIR_SENT;
    }
    if (enabled & IER_MODEM_STATUS && uart->modem_changes) {
        return IIR_MODEM_STATUS;
    }
    return IIR_NONE;
}

bool uart_interrupt(const struct uart *uart) {
    /* On a PC OUT2 opens the way to the interrupt controller; in loop mode the pin is off (8.6.7). */
    return uart->modem_control & MCR_OUT2 && !in_loop(uart) && interrupt_ident(uart) != IIR_NONE;
}

/* Outside of the loop a terminal is there and ready. */
static uint8_t modem_lines(const struct uart *uart) {
    uint8_t control = uart->modem_control;
    if (!in_loop(uart)) {
        return MSR_DCD | MSR_DSR | MSR_CTS;
    }
    return (uint8_t)((control & MCR_RTS ? MSR_CTS : 0) | (control & MCR_DTR ? MSR_DSR : 0) |
                     (control & MCR_OUT1 ? MSR_RI : 0) | (control & MCR_OUT2 ? MSR_DCD : 0));
}

static void write_modem_control(struct uart *uart, uint8_t value) {
    uint8_t before = modem_lines(uart);
    uart->modem_control = value & MCR_ALL;
    uint8_t after = modem_lines(uart), changed = before ^ after;
    uart->modem_changes |= (uint8_t)((changed & (MSR_CTS | MSR_DSR | MSR_DCD)) >> 4);
    if (before & ~after & MSR_RI) { /* of RI only its end is told */
        uart->modem_changes |= MSR_TRAILING_EDGE_RI;
    }
}

static void write_fifo_control(struct uart *uart, uint8_t value) {
    static const uint8_t triggers[] = {1, 4, 8, 14};
    bool enable = value & FCR_ENABLE;
    /* PC16550D 8.4: bit 0 must be 1 as the others are written, or they mean nothing. */
    if (enable != uart->fifo || (enable && value & FCR_CLEAR_RECEIVED)) {
        uart->count = 0;
    }
    uart->fifo = enable;
    uart->trigger = enable ? triggers[value >> 6] : triggers[0];
}

static void send(struct uart *uart, uint8_t byte) {
    if (in_loop(uart)) {
        append(uart, byte);
    } else {
        uart->put(uart->context, byte);
    }
    uart->sent = true;
}

static uint8_t receive(struct uart *uart) {
    uint8_t byte = uart->received[uart->head]; /* of an empty one the last, as on the chip */
    if (uart->count) {
        uart->count--;
        if (uart->fifo) {
            uart->head = (uart->head + 1) % UART_FIFO;
        }
    }
    return byte;
}

void uart_write(struct uart *uart, unsigned offset, uint8_t value) {
    switch (offset) {
    case DATA:
        if (has_divisor_latch(uart)) {
            uart->divisor = (uint16_t)((uart->divisor & 0xff00) | value);
        } else {
            send(uart, value);
        }
        break;
    case INTERRUPT_ENABLE:
        if (has_divisor_latch(uart)) {
            uart->divisor = (uint16_t)((uart->divisor & 0xff) | value << 8);
        } else {
            /* enabled while THR is empty, as it always is, the interrupt comes at once */
            uart->sent |= value & ~uart->interrupt_enable & IER_SENT;
            uart->interrupt_enable = value & IER_ALL;
        }
        break;
    case FIFO_CONTROL: write_fifo_control(uart, value); break;
    case LINE_CONTROL: uart->line_control = value; break;
    case MODEM_CONTROL: write_modem_control(uart, value); break;
    case SCRATCH: uart->scratch = value; break;
    default: break; /* the status registers */
    }
}

static uint8_t read_interrupt_ident(struct uart *uart) {
    uint8_t ident = interrupt_ident(uart);
    if (ident == IIR_SENT) {
        uart->sent = false; /* who reads it has been told */
    }
    return ident | (uart->fifo ? IIR_FIFO : 0);
}

static uint8_t read_line_status(struct uart *uart) {
    uint8_t value = LSR_THR_EMPTY | LSR_ALL_SENT;
    value |= uart->count ? LSR_DATA : 0;
    value |= uart->overrun ? LSR_OVERRUN : 0;
    uart->overrun = false;
    return value;
}

static uint8_t read_modem_status(struct uart *uart) {
    uint8_t value = modem_lines(uart) | uart->modem_changes;
    uart->modem_changes = 0;
    return value;
}

uint8_t uart_read(struct uart *uart, unsigned offset) {
    switch (offset) {
    case DATA: return has_divisor_latch(uart) ? (uint8_t)uart->divisor : receive(uart);
    case INTERRUPT_ENABLE:
        return has_divisor_latch(uart) ? (uint8_t)(uart->divisor >> 8) : uart->interrupt_enable;
    case INTERRUPT_IDENT: return read_interrupt_ident(uart);
    case LINE_CONTROL: return uart->line_control;
    case MODEM_CONTROL: return uart->modem_control;
    case LINE_STATUS: return read_line_status(uart);
    case MODEM_STATUS: return read_modem_status(uart);
    case SCRATCH: return uart->scratch;
    default: return 0xff;
    }
}

void uart_start(struct uart *uart, void (*put)(void *context, uint8_t byte), void *context) {
    *uart = (struct uart){.trigger = 1, .put = put, .context = context};
}
