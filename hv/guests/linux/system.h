/* The system calls that our first programs make: no C library, so that an initial RAM disk is a few
 * kilobytes and each instruction that runs in it can be read here. Numbers: syscalls(2), x86-64. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum system_call {
    SYS_READ = 0,
    SYS_WRITE = 1,
    SYS_OPEN = 2,
    SYS_MMAP = 9,
    SYS_MUNMAP = 11,
    SYS_IOCTL = 16,
    SYS_PAUSE = 34,
    SYS_DUP2 = 33,
    SYS_FORK = 57,
    SYS_EXECVE = 59,
    SYS_EXIT = 60,
    SYS_WAIT4 = 61,
    SYS_UNAME = 63,
    SYS_SETSID = 112,
    SYS_MOUNT = 165,
    SYS_REBOOT = 169,
    SYS_CLOCK_GETTIME = 228,
};

/* Negative: an error, -errno. */
static inline long system_call(enum system_call number, long a, long b, long c, long d) {
    register long fourth asm("r10") = d;
    register long fifth asm("r8") =
        0; /* mount's data, mmap's file, which an anonymous one ignores */
    register long sixth asm("r9") = 0;
    long result;
    asm volatile("syscall"
                 : "=a"(result)
                 : "0"((long)number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth), "r"(sixth)
                 : "rcx", "r11", "memory");
    return result;
}

static inline uint64_t ticks(void) {
    uint32_t low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/* What Linux hands to a program. */
struct start_stack {
    long count;        /* of arguments */
    char *arguments[]; /* they, NULL, the environment, NULL */
};

/* The value of NAME=value in the environment, to which Linux adds each word of its command line that
 * has this form and that it doesn't know itself; NULL: there is none. */
const char *word(const struct start_stack *stack, const char *name);
/* The same as a number, or `otherwise`. */
uint32_t number(const struct start_stack *stack, const char *name, uint32_t otherwise);

/* Printing goes into a line, and the line to standard output at once: at its end, or when it's full. */
void print(const char *text);
void print_number(uint64_t number);
void print_hex(uint32_t number);

/* Ends the program. The first one's end is a kernel panic. */
_Noreturn void leave(int code);
/* Lets everything be printed that was written, then turns the machine off (how: reboot(2)). */
_Noreturn void turn_off(uint32_t how);
enum { TURN_OFF = 0x4321fedc, TURN_OFF_AND_ON = 0x01234567 };

/* The program, once. */
_Noreturn void start(const struct start_stack *stack);
