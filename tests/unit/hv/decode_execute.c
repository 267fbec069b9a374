/*
 * Lets this machine's own processor execute instructions, and compares every register and all of
 * the memory afterwards with what decoder and MMIO code say. The instructions come from a generated
 * assembly file: `samples` begins its table, NULL ends it. Each is called through a function that
 * loads all registers but RSP from registers_in before and stores them to registers_out after.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vm/mmio.h"

enum { WINDOW = 256, MIDDLE = WINDOW / 2, RSP = 4 };

struct sample {
    void (*run)(void);
    const uint8_t *start, *end;
    const char *text;
};

extern const struct sample samples[];
extern uint8_t window[WINDOW]; /* below 2 GiB, so that 32-bit addresses reach it */
extern uint64_t registers_in[16], registers_out[16];

static uint64_t random_state = 1;

static uint64_t next_random(void) { /* splitmix64 */
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Random registers, but for the one that has to bring the address into the window. */
static void choose_registers(const struct decoded *d, uint64_t next_rip) {
    for (unsigned i = 0; i < 16; i++) {
        registers_in[i] = next_random();
    }
    registers_in[RSP] = 0;
    uint64_t *index = d->index == DECODE_NO_REGISTER ? NULL : &registers_in[d->index];
    if (d->base != DECODE_NO_REGISTER) {
        uint64_t *base = &registers_in[d->base];
        uint64_t garbage = *base;
        *base = 0;
        *base = (uintptr_t)window + MIDDLE - decode_effective_address(d, registers_in, next_rip);
        if (d->address_size == 4) {
            *base = garbage << 32 | (uint32_t)*base;
        }
    } else if (index) {
        /* The displacement is the window itself. */
        *index = d->address_size == 4 ? *index << 32 | 5 : 5;
    }
}

static const char *check(const struct sample *sample) {
    struct decoded d;
    unsigned available = (unsigned)(sample->end - sample->start);
    if (decode_mov(sample->start, available, DECODE_64, &d) != DECODE_OK || d.length != available) {
        return "is not decoded";
    }
    choose_registers(&d, (uintptr_t)sample->end);
    uint64_t address = decode_effective_address(&d, registers_in, (uintptr_t)sample->end);
    if (address < (uintptr_t)window || address > (uintptr_t)window + WINDOW - 8) {
        return "has an address elsewhere";
    }
    for (unsigned i = 0; i < WINDOW; i++) {
        window[i] = (uint8_t)next_random();
    }

    uint64_t registers[16], value = next_random();
    uint8_t memory[WINDOW];
    memcpy(registers, registers_in, sizeof registers);
    memcpy(memory, window, sizeof memory);
    uint8_t *operand = memory + (address - (uintptr_t)window);
    if (d.write) {
        value = mmio_write_value(&d, registers);
        memcpy(operand, &value, d.operand_size);
    } else {
        memcpy(&value, operand, d.operand_size); /* garbage above: to be ignored */
        mmio_complete_read(&d, registers, value);
    }
    memset(registers_out, 0, sizeof registers);
    sample->run();
    if (memcmp(registers, registers_out, sizeof registers)) {
        return "leaves other registers behind";
    }
    return memcmp(memory, window, sizeof memory) ? "leaves other memory behind" : NULL;
}

int main(void) {
    int failures = 0, count = 0;
    for (const struct sample *sample = samples; sample->run; sample++, count++) {
        const char *problem = check(sample);
        if (problem) {
            printf("%s: %s\n", sample->text, problem);
            failures++;
        }
    }
    printf("executed %d\n", count);
    return failures ? 1 : 0;
}
