#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void check_failed(const char *file, int line, const char *text) {
    printf("%s:%d: not so: %s\n", file, line, text);
    exit(1);
}

void check_equal(const char *file, int line, const char *text, uint64_t left, uint64_t right) {
    if (left != right) {
        printf("%s:%d: not so: %s\n  left  0x%llx\n  right 0x%llx\n", file, line, text,
               (unsigned long long)left, (unsigned long long)right);
        exit(1);
    }
}

uint64_t random_number(void) {
    static uint64_t state; /* xorshift64*: good enough, and the same everywhere */
    if (!state) {
        const char *seed = getenv("HOSTTEST_SEED");
        state = 0x9e3779b97f4a7c15ull * ((seed ? strtoull(seed, NULL, 0) : 0) + 1);
    }
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dull;
}

uint64_t random_below(uint64_t limit) {
    return (random_number() >> 11) % limit;
}

int main(int count, char **arguments) {
    setvbuf(stdout, NULL, _IONBF, 0);
    bool any = false;
    for (const struct check *check = checks; check->name; check++) {
        if (count < 2 || strcmp(arguments[1], check->name) == 0) {
            printf("%s\n", check->name);
            check->function();
            any = true;
        }
    }
    return any ? 0 : 2;
}
