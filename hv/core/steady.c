#include "core/steady.h"

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

uint64_t steady(uint64_t (*measure)(void)) {
    uint64_t before = measure(), now = before;
    for (int i = 1; before && i < STEADY_ATTEMPTS; i++) {
        now = measure();
        if (!now || larger(before, now) - smaller(before, now) < before / 128) {
            break;
        }
        if (i < STEADY_ATTEMPTS - 1) {
            before = now;
        }
    }
    return smaller(before, now);
}
