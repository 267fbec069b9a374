/* The first program of the Linux guest. It shows that user space works, sums up a known pattern, does
 * a fixed amount of work, and ends. Words of the kernel's command line say how:
 *
 *   sums=N     print the pattern's SHA-256 N times (1)
 *   forks=N    the fixed work: N processes, one after the other, each with some new memory (0)
 *   end=off    turn the machine off; or reboot, panic, hang */
#include "guests/linux/system.h"
#include "guests/pattern.h"

#include "guests/linux/sha256.h"

enum { NAME_SIZE = 65 };

struct system_names { /* struct new_utsname */
    char system[NAME_SIZE], node[NAME_SIZE], release[NAME_SIZE], version[NAME_SIZE];
    char machine[NAME_SIZE], domain[NAME_SIZE];
};

enum { PAGE = 4096, CHILD_MEMORY = 64 * PAGE };
enum { PROT_READ = 1, PROT_WRITE = 2, MAP_PRIVATE = 2, MAP_ANONYMOUS = 0x20 };

static uint8_t pattern[PATTERN_SIZE];

static void introduce(uint64_t started) {
    struct system_names names;
    if (system_call(SYS_UNAME, (long)&names, 0, 0, 0) < 0) {
        leave(1);
    }
    print("init: ");
    print(names.system);
    print(" ");
    print(names.release);
    print(" ");
    print(names.machine);
    print(", in user space at tick ");
    print_number(started);
    print("\n");
}

static void print_sum(void) {
    uint32_t digest[8];
    uint64_t before = ticks();
    sha256(pattern, sizeof pattern, digest);
    uint64_t after = ticks();
    print("init: SHA-256 ");
    for (int i = 0; i < 8; i++) {
        print_hex(digest[i]);
    }
    print(" took ");
    print_number(after - before);
    print(" ticks\n");
}

/* Touches pages that it must first be given, and leaves. */
static _Noreturn void be_child(void) {
    long memory =
        system_call(SYS_MMAP, 0, CHILD_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    if (memory < 0) {
        leave(1);
    }
    for (long at = 0; at < CHILD_MEMORY; at += PAGE) {
        ((volatile uint8_t *)memory)[at] = 1;
    }
    leave(0);
}

/* What systems do all day: processes, page faults, switches between them. */
static void work(uint32_t forks) {
    uint64_t before = ticks();
    for (uint32_t i = 0; i < forks; i++) {
        long child = system_call(SYS_FORK, 0, 0, 0, 0);
        if (child == 0) {
            be_child();
        }
        int status = 1;
        if (child < 0 || system_call(SYS_WAIT4, child, (long)&status, 0, 0) != child || status) {
            print("init: a child process failed\n");
            leave(1);
        }
    }
    uint64_t after = ticks();
    print("init: ");
    print_number(forks);
    print(" processes took ");
    print_number(after - before);
    print(" ticks\n");
}

void start(const struct start_stack *stack) {
    introduce(ticks());
    fill_with_pattern(pattern);
    for (uint32_t left = number(stack, "sums", 1); left; left--) {
        print_sum();
    }
    uint32_t forks = number(stack, "forks", 0);
    if (forks) {
        work(forks);
    }
    const char *end = word(stack, "end");
    switch (end ? *end : 'o') {
    case 'p': print("init: leaving, which Linux takes for a reason to panic\n"); leave(1);
    case 'h':
        print("init: hanging\n");
        for (;;) {
            system_call(SYS_PAUSE, 0, 0, 0, 0);
        }
    case 'r': print("init: rebooting\n"); turn_off(TURN_OFF_AND_ON);
    default: print("init: turning off\n"); turn_off(TURN_OFF);
    }
}
