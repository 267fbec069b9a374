/* What our first programs on Linux share: words of the command line, printing, and the end. */
#include "guests/linux/system.h"

enum { REBOOT_MAGIC = (int)0xfee1dead, REBOOT_MAGIC_2 = 672274793, DRAIN = 0x5409 /* TCSBRK */ };

static char line[128];
static size_t used;

const char *word(const struct start_stack *stack, const char *name) {
    for (char *const *at = stack->arguments + stack->count + 1; *at; at++) {
        size_t i = 0;
        while (name[i] && (*at)[i] == name[i]) {
            i++;
        }
        if (!name[i] && (*at)[i] == '=') {
            return *at + i + 1;
        }
    }
    return NULL;
}

uint32_t number(const struct start_stack *stack, const char *name, uint32_t otherwise) {
    const char *text = word(stack, name);
    if (!text || !*text) {
        return otherwise;
    }
    uint32_t value = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (uint32_t)(*text - '0');
    }
    return *text ? otherwise : value;
}

/* Without anybody to tell, an error of writing changes nothing. */
static void flush(void) {
    system_call(SYS_WRITE, 1, (long)line, (long)used, 0);
    used = 0;
}

static void put(char character) {
    line[used++] = character;
    if (character == '\n' || used == sizeof line) {
        flush();
    }
}

void print(const char *text) {
    while (*text) {
        put(*text++);
    }
}

void print_number(uint64_t number) {
    if (number >= 10) {
        print_number(number / 10);
    }
    put((char)('0' + number % 10));
}

void print_hex(uint32_t number) {
    for (int shift = 28; shift >= 0; shift -= 4) {
        put("0123456789abcdef"[number >> shift & 0xf]);
    }
}

void leave(int code) {
    for (;;) {
        system_call(SYS_EXIT, code, 0, 0, 0);
    }
}

void turn_off(uint32_t how) {
    flush();
    /* The UART still holds the last lines, and nothing waits for it once Linux shuts down. */
    system_call(SYS_IOCTL, 1, DRAIN, 1, 0);
    system_call(SYS_REBOOT, REBOOT_MAGIC, REBOOT_MAGIC_2, how, 0);
    leave(1); /* it was refused: the panic says so */
}
