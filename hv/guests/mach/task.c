/* The first user task of GNU Mach, a module of its boot loader. With nothing but Mach's own traps it
 * sums up a known pattern and lets receptions of messages time out, which takes the clock's interrupt.
 * Words of its module's string say what else:
 *
 *   ${host-port}   the port by which it reboots the machine at its end; without, it waits for ever
 *   N              how many time-outs (3)
 *   MS             how long each is, in milliseconds (100) */
#include "guests/pattern.h"

/* <mach/message.h>: mach_msg_option_t, MACH_RCV_TIMED_OUT, MACH_MSG_TYPE_COPY_SEND, and the
 * mach_msg_type_t of one MACH_MSG_TYPE_INTEGER_32. */
enum { SEND = 1, RECEIVE = 2, TIMEOUT = 0x100 };
enum { RECEIVE_TIMED_OUT = 0x10004003 };
enum { COPY_SEND = 19, ONE_INTEGER = 0x10012002 };
enum { HOST_REBOOT = 2635 };                  /* the number of its message */
enum { HOST_PORT = 1, TIMEOUTS, TIMEOUT_MS }; /* arguments */

struct start_stack {
    uint32_t count;
    const char *arguments[];
};

uint32_t mach_msg_trap(void *message, uint32_t options, uint32_t send_size, uint32_t receive_size,
                       uint32_t port, uint32_t timeout_ms, uint32_t notify);
uint32_t mach_reply_port(void);
void mach_print(const char *text);
_Noreturn void task(const struct start_stack *stack);

static uint8_t pattern[PATTERN_SIZE];
static uint32_t message[64];
static char line[80];
static uint32_t used;

static void add(const char *text) {
    while (*text && used < sizeof line - 1) {
        line[used++] = *text++;
    }
}

static void add_number(uint32_t number) {
    if (number >= 10) {
        add_number(number / 10);
    }
    add((const char[]){(char)('0' + number % 10), 0});
}

static void add_hex(uint32_t number) {
    for (int shift = 28; shift >= 0; shift -= 4) {
        char digit[2] = {"0123456789abcdef"[number >> shift & 0xf], 0};
        add(digit);
    }
}

/* Hexadecimal, as a division of 64 bits would need a library. */
static void add_hex64(uint64_t number) {
    add("0x");
    add_hex((uint32_t)(number >> 32));
    add_hex((uint32_t)number);
}

static uint64_t ticks(void) {
    uint32_t low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/* A whole line at a time: nothing of the kernel's comes between. */
static void end_line(void) {
    add("\n");
    line[used] = 0;
    mach_print(line);
    used = 0;
}

static uint32_t number(const struct start_stack *stack, uint32_t argument, uint32_t otherwise) {
    if (stack->count <= argument) {
        return otherwise;
    }
    uint32_t value = 0;
    for (const char *text = stack->arguments[argument]; *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (uint32_t)(*text - '0');
    }
    return value;
}

/* CRC-32 as of IEEE 802.3. */
static uint32_t crc32(const uint8_t *data, uint32_t size) {
    uint32_t crc = ~0u;
    for (uint32_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
        }
    }
    return ~crc;
}

static void print_sum(void) {
    uint64_t before = ticks();
    uint32_t sum = crc32(pattern, sizeof pattern);
    uint64_t after = ticks();
    add("task: CRC-32 ");
    add_hex(sum);
    add(" took ");
    add_hex64(after - before);
    add(" ticks");
    end_line();
}

/* host_reboot of <mach/mach_host.defs>, as MIG would send it. Mach does not answer. */
static void reboot(uint32_t host_port) {
    static struct {
        uint32_t bits, size, remote_port, local_port, sequence, id; /* mach_msg_header_t */
        uint32_t type, options;
    } request = {.bits = COPY_SEND, .size = sizeof request, .id = HOST_REBOOT, .type = ONE_INTEGER};
    request.remote_port = host_port;
    mach_msg_trap(&request, SEND, sizeof request, 0, 0, 0, 0);
}

void task(const struct start_stack *stack) {
    uint64_t started = ticks();
    add("task: GNU Mach, in user space at tick ");
    add_hex64(started);
    end_line();

    fill_with_pattern(pattern);
    print_sum();

    uint32_t port = mach_reply_port();
    uint32_t count = number(stack, TIMEOUTS, 3), ms = number(stack, TIMEOUT_MS, 100);
    for (uint32_t i = 1; i <= count; i++) {
        uint32_t result = mach_msg_trap(message, RECEIVE | TIMEOUT, 0, sizeof message, port, ms, 0);
        if (result == RECEIVE_TIMED_OUT) {
            add("task: time-out ");
            add_number(i);
        } else {
            add("task: no time-out but ");
            add_hex(result);
        }
        end_line();
    }
    print_sum();
    add("task: done");
    end_line();
    uint32_t host_port = number(stack, HOST_PORT, 0);
    if (host_port) {
        reboot(host_port);
    }
    for (;;) {
        mach_msg_trap(message, RECEIVE, 0, sizeof message, port, 0, 0);
    }
}
