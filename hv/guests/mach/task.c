/* The first user task of GNU Mach, a module of its boot loader. With nothing but Mach's own traps it
 * sums up a known pattern and lets three receptions of messages time out, which takes the clock's
 * interrupt. Then it waits for ever, and Mach idles. */
#include "guests/pattern.h"

enum { RECEIVE = 2, TIMEOUT = 0x100 };   /* <mach/message.h>: MACH_RCV_MSG, MACH_RCV_TIMEOUT */
enum { RECEIVE_TIMED_OUT = 0x10004003 }; /* MACH_RCV_TIMED_OUT */
enum { TIMEOUTS = 3, TIMEOUT_MS = 100 };

uint32_t mach_msg_trap(void *message, uint32_t options, uint32_t send_size, uint32_t receive_size,
                       uint32_t port, uint32_t timeout_ms, uint32_t notify);
uint32_t mach_reply_port(void);
uint32_t mach_task_self(void);
void mach_print(const char *text);
_Noreturn void task(void);

static uint8_t pattern[PATTERN_SIZE];
static uint32_t message[64];
static char line[80];
static uint32_t used;

static void add(const char *text) {
    while (*text && used < sizeof line - 1) {
        line[used++] = *text++;
    }
}

static void add_hex(uint32_t number) {
    for (int shift = 28; shift >= 0; shift -= 4) {
        char digit[2] = {"0123456789abcdef"[number >> shift & 0xf], 0};
        add(digit);
    }
}

/* A whole line at a time: nothing of the kernel's comes between. */
static void end_line(void) {
    add("\n");
    line[used] = 0;
    mach_print(line);
    used = 0;
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
    add("task: CRC-32 ");
    add_hex(crc32(pattern, sizeof pattern));
    end_line();
}

void task(void) {
    add("task: user space of GNU Mach, task port ");
    add_hex(mach_task_self());
    end_line();

    fill_with_pattern(pattern);
    print_sum();

    uint32_t port = mach_reply_port();
    for (uint32_t i = 1; i <= TIMEOUTS; i++) {
        uint32_t result =
            mach_msg_trap(message, RECEIVE | TIMEOUT, 0, sizeof message, port, TIMEOUT_MS, 0);
        add(result == RECEIVE_TIMED_OUT ? "task: time-out " : "task: no time-out but ");
        add_hex(result == RECEIVE_TIMED_OUT ? i : result);
        end_line();
    }
    print_sum();
    add("task: done");
    end_line();
    for (;;) {
        mach_msg_trap(message, RECEIVE, 0, sizeof message, port, 0, 0);
    }
}
