/*
 * Tries to read, write and execute every page of physical memory, from address 0 to the end that the
 * parameter names. Only its own pages may let it, and they hold what it left there. Needs
 * debug=go-on, or the first page of somebody else's would end it.
 */
#include "guests/hostile.h"

volatile struct parameter parameter = {PARAMETER_MARK, {.value = 64 << 20}};

enum { PAGE = 4096 };
#define PATTERN 0x5ca1ab1e00000000ul

static void read_page(uint64_t page) {
    (void)*(volatile uint64_t *)page;
}

static void write_page(uint64_t page) {
    *(volatile uint64_t *)(page + 8) = PATTERN;
}

static void execute_page(uint64_t page) {
    ((void (*)(void))page)();
}

int guest_main(void) {
    interrupts_start();
    uint64_t mine = memory_end(), first_free = 2 << 20, got = 0, refused = 0, wrong = 0;
    for (uint64_t page = first_free; page < mine - PAGE * 16; page += PAGE) {
        *(volatile uint64_t *)page = PATTERN | page;
    }
    for (uint64_t page = mine; page < parameter.value; page += PAGE) {
        static void (*const ways[])(uint64_t) = {read_page, write_page, execute_page};
        for (unsigned way = 0; way < 3; way++) {
            struct caught caught = attempt(ways[way], page);
            refused += is(caught, VECTOR_GENERAL_PROTECTION, 0);
            got += !caught.any;
        }
    }
    for (uint64_t page = first_free; page < mine - PAGE * 16; page += PAGE) {
        wrong += *(volatile uint64_t *)page != (PATTERN | page);
    }
    uint64_t tries = (parameter.value - mine) / PAGE * 3;
    print_hex(refused);
    print(" tries refused\n");
    bool passed = got == 0 && wrong == 0 && refused == tries && tries > 0;
    report(passed, refused);
    return !passed;
}
