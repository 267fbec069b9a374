/*
 * Somebody to talk to: has a prompt, answers each line that is typed, and sleeps in HLT until the next
 * byte comes. It echoes what is typed, as a terminal's driver does.
 *
 *     sum N     takes N bytes as they come, without echo, and prints their FNV-1a sum
 *     tick      prints numbered lines until a byte comes
 *     deaf      reads nothing any more
 *     crash     provokes a triple fault
 *     panic     asks the hypervisor to panic (debug=panic)
 *     forge     prints what looks like a panic of the hypervisor's
 *     exit N    ends with code N
 */
#include "cpu/port.h"

#include "guests/interrupts.h"
#include "guests/runtime.h"

/* PC16550D data sheet, section 8 */
enum {
    UART = 0x3f8,
    DATA = UART,
    INTERRUPT_ENABLE = UART + 1,
    FIFO_CONTROL = UART + 2,
    MODEM_CONTROL = UART + 4,
    LINE_STATUS = UART + 5,
};
enum { IER_RECEIVED = 1, FCR_ENABLE = 1, MCR_OUT2 = 8, LSR_DATA = 1 };

/* 8259A data sheet: the first controller's lines become these vectors. */
enum { PIC_COMMAND = 0x20, PIC_DATA = 0x21, ICW1 = 0x11, ICW4_8086 = 1, EOI = 0x20 };
enum { FIRST_VECTOR = 0x20, UART_LINE = 4 };

enum { TICK = 400000, LONGEST = 128 };

static void on_uart(struct interrupt_frame *frame) {
    (void)frame;
    outb(PIC_COMMAND, EOI);
}

static void start(void) {
    interrupts_start();
    interrupts_handle(FIRST_VECTOR + UART_LINE, on_uart);
    outb(PIC_COMMAND, ICW1);
    outb(PIC_DATA, FIRST_VECTOR);
    outb(PIC_DATA, 1 << 2); /* where the second controller would be */
    outb(PIC_DATA, ICW4_8086);
    outb(PIC_DATA, (uint8_t)~(1 << UART_LINE));
    outb(FIFO_CONTROL, FCR_ENABLE);
    outb(INTERRUPT_ENABLE, IER_RECEIVED);
    outb(MODEM_CONTROL, MCR_OUT2);
}

static bool has_come(void) {
    return inb(LINE_STATUS) & LSR_DATA;
}

static uint8_t next_byte(void) {
    while (!has_come()) {
        asm volatile("sti; hlt; cli" : : : "memory");
    }
    return inb(DATA);
}

static void read_line(char *line) {
    unsigned length = 0;
    for (;;) {
        uint8_t byte = next_byte();
        if (byte == '\r' || byte == '\n') {
            line[length] = '\0';
            print("\n");
            return;
        }
        if (byte == 3) { /* Ctrl-C */
            print("^C\n> ");
            length = 0;
        } else if (byte == 0x7f && length) {
            print("\b \b");
            length--;
        } else if (byte >= ' ' && byte < 0x7f && length < LONGEST - 1) {
            const char echo[] = {(char)byte, '\0'};
            print(echo);
            line[length++] = (char)byte;
        }
    }
}

/* What follows `word` on the line; NULL: it does not begin with it. */
static const char *after(const char *line, const char *word) {
    while (*word && *line == *word) {
        line++, word++;
    }
    if (*word || (*line && *line != ' ')) {
        return 0;
    }
    return *line ? line + 1 : line;
}

static unsigned number(const char *text) {
    unsigned value = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        value = 10 * value + (unsigned)(*text - '0');
    }
    return value;
}

static void sum(unsigned count) {
    uint64_t value = 14695981039346656037ull; /* FNV-1a */
    print("ready\n");
    while (count--) {
        value = (value ^ next_byte()) * 1099511628211ull;
    }
    print("sum ");
    print_hex(value);
    print("\n");
}

static void tick(void) {
    for (uint64_t i = 1; !has_come(); i++) {
        print("tick ");
        print_hex(i);
        print("\n");
        for (uint64_t begin = rdtsc(); rdtsc() - begin < TICK && !has_come();) {
        }
    }
}

/* An IDT with nothing in it: no exception can be delivered, nor the double fault that follows. */
static void crash(void) {
    const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) nothing = {0, 0};
    asm volatile("lidt %0; ud2" : : "m"(nothing));
}

int guest_main(void) {
    char line[LONGEST];
    const char *argument;
    start();
    for (;;) {
        print("> ");
        read_line(line);
        if ((argument = after(line, "exit"))) {
            return (int)number(argument);
        }
        if ((argument = after(line, "sum"))) {
            sum(number(argument));
        } else if (after(line, "tick")) {
            tick();
        } else if (after(line, "deaf")) {
            for (;;) {
                asm volatile("pause");
            }
        } else if (after(line, "crash")) {
            crash();
        } else if (after(line, "panic")) {
            hypercall(HYPERCALL_PANIC, 0, 0);
        } else if (after(line, "forge")) {
            print("[    0.000001] panic: not really\n");
        } else {
            print("you said: ");
            print(line);
            print("\n");
        }
    }
}
