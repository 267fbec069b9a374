/*
 * Gives the decoder bytes that no compiler made, the same ones in every run, and checks what must
 * hold for any bytes. "decode_fuzz INPUTS SEED"; ends with 1 at the first violation.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/decode.h"
#include "vm/mmio.h"

/* More than an instruction may have, so that the limit is crossed too. */
enum { INPUT = 20 };

static uint64_t random_state;

static uint64_t next_random(void) { /* splitmix64 */
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint8_t input[INPUT];
static unsigned mode;
static uint8_t *block_end;

/* The input's first bytes are put before the end of a heap block, where one more would be seen. */
static enum decode_result decode(const uint8_t *bytes, unsigned available, struct decoded *out) {
    memcpy(block_end - available, bytes, available);
    return decode_mov(block_end - available, available, mode, out);
}

static _Noreturn void violated(const char *what, unsigned available) {
    printf("violated: %s, with %u bytes available, mode %u, input", what, available, mode);
    for (unsigned i = 0; i < INPUT; i++) {
        printf(" %02x", input[i]);
    }
    printf("\n");
    exit(1);
}

static void require(bool condition, const char *what, unsigned available) {
    if (!condition) {
        violated(what, available);
    }
}

static bool is_register(uint8_t number) {
    return number < (mode == DECODE_64 ? 16 : 8);
}

static void check_fields(const struct decoded *d, unsigned available) {
    uint8_t size = d->operand_size;
    require(d->length >= 2 && d->length <= 15 && d->length <= available, "length", available);
    require(size == 1 || size == 2 || size == 4 || (size == 8 && mode == DECODE_64), "operand size",
            available);
    require(is_register(d->reg), "register", available);
    require(!d->high_byte || d->reg < 4, "high byte", available);
    require(!d->immediate_source || d->write, "an immediate is read", available);
    require(size == 8 || d->immediate >> (8 * size) == 0, "immediate", available);
    require(d->write || (d->destination_size >= size && d->destination_size <= 8),
            "destination size", available);
    require(d->segment <= DECODE_GS, "segment", available);
    require(d->base == DECODE_NO_REGISTER || is_register(d->base), "base", available);
    require(d->index == DECODE_NO_REGISTER || is_register(d->index), "index", available);
    require(d->index != 4, "RSP as an index", available);
    require(d->scale && d->scale <= 8 && !(d->scale & (d->scale - 1)), "scale", available);
    require(!d->rip_relative || (mode == DECODE_64 && d->base == DECODE_NO_REGISTER &&
                                 d->index == DECODE_NO_REGISTER),
            "RIP with other registers", available);
}

/* What is decoded must also be safe to carry out: no register but the one named changes. */
static void check_effect(const struct decoded *d, unsigned available) {
    uint64_t registers[16], before[16];
    for (unsigned i = 0; i < 16; i++) {
        registers[i] = before[i] = next_random();
    }
    uint64_t address = decode_effective_address(d, registers, next_random());
    require(d->address_size == 8 || address >> (8 * d->address_size) == 0, "address", available);
    if (d->write) {
        uint64_t value = mmio_write_value(d, registers);
        require(d->operand_size == 8 || value >> (8 * d->operand_size) == 0, "value", available);
    } else {
        mmio_complete_read(d, registers, next_random());
    }
    for (unsigned i = 0; i < 16; i++) {
        require(registers[i] == before[i] || (!d->write && i == d->reg), "another register",
                available);
    }
}

static bool same(const struct decoded *a, const struct decoded *b) {
    return a->length == b->length && a->operand_size == b->operand_size && a->write == b->write &&
           a->immediate_source == b->immediate_source && a->immediate == b->immediate &&
           a->reg == b->reg && a->high_byte == b->high_byte &&
           a->destination_size == b->destination_size && a->sign_extend == b->sign_extend &&
           a->segment == b->segment && a->address_size == b->address_size && a->base == b->base &&
           a->index == b->index && a->scale == b->scale && a->rip_relative == b->rip_relative &&
           a->displacement == b->displacement;
}

/* Some longer input must decide what this one leaves open: by decoding, or by being too long. */
static bool can_be_completed(unsigned available) {
    static const uint8_t tails[][INPUT] = {{0x8a}, {0}, {0xb6}, {0xa0}};
    for (unsigned i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        uint8_t longer[INPUT];
        struct decoded d;
        memcpy(longer, input, available);
        memcpy(longer + available, tails[i], INPUT - available);
        enum decode_result result = decode(longer, INPUT, &d);
        /* Two bytes are the shortest instruction, eleven the longest without its prefixes. */
        if (result == DECODE_OK || (result == DECODE_INVALID && available > 15 - 11)) {
            return true;
        }
    }
    return false;
}

static enum decode_result check_input(void) {
    struct decoded whole, part;
    enum decode_result end = decode(input, INPUT, &whole);
    require(end != DECODE_NEED_MORE, "15 bytes don't decide", INPUT);
    if (end == DECODE_OK) {
        check_fields(&whole, INPUT);
        check_effect(&whole, INPUT);
    }
    for (unsigned available = 0; available < INPUT; available++) {
        memset(&part, 0xaa, sizeof part);
        enum decode_result result = decode(input, available, &part);
        if (result == DECODE_NEED_MORE) {
            require(available < DECODE_LONGEST, "more than 15 bytes wanted", available);
            require(end != DECODE_OK || available < whole.length, "bytes behind it wanted",
                    available);
            require(can_be_completed(available), "nothing completes it", available);
        } else {
            require(result == end, "more bytes change the result", available);
        }
        if (result == DECODE_OK) {
            require(same(&part, &whole), "more bytes change a field", available);
            require(available >= part.length, "length", available);
        } else {
            uint8_t untouched[sizeof part];
            memset(untouched, 0xaa, sizeof untouched);
            require(!memcmp(&part, untouched, sizeof part), "output without DECODE_OK", available);
        }
    }
    return end;
}

/* Mostly prefixes and known opcodes, as pure noise hardly ever gets far. */
static void make_input(void) {
    static const uint8_t prefixes[] = {0x66, 0x67, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x40, 0x48,
                                       0x4f, 0x41, 0x44, 0x42, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x4c};
    static const uint8_t opcodes[] = {0x88, 0x89, 0x8a, 0x8b, 0xa0, 0xa1, 0xa2, 0xa3,
                                      0xc6, 0xc7, 0x63, 0x0f, 0x0f, 0x0f, 0x0f, 0x8d};
    static const uint8_t escaped[] = {0xb6, 0xb7, 0xbe, 0xbf};
    for (unsigned i = 0; i < INPUT; i++) {
        input[i] = (uint8_t)next_random();
    }
    uint64_t choice = next_random();
    mode = choice % 3;
    if (choice >> 8 & 7) {
        static const uint8_t counts[] = {0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 7, 9, 11, 13, 14};
        unsigned at = 0, count = counts[choice >> 16 & 15];
        while (at < count) {
            /* LOCK and REP end everything: rarely. */
            uint8_t prefix = prefixes[next_random() % sizeof prefixes];
            input[at++] = prefix >= 0xf0 && next_random() % 8 ? 0x66 : prefix;
        }
        input[at] = opcodes[choice >> 24 & 15];
        if (input[at++] == 0x0f) {
            input[at++] = escaped[choice >> 32 & 3];
        } else if (input[at - 1] >= 0xc6 && choice >> 40 & 7) {
            input[at] &= 0xc7; /* /0 */
        }
        if (choice >> 44 & 1) {
            input[next_random() % INPUT] ^= (uint8_t)(1 << (next_random() & 7));
        }
    }
}

int main(int argc, char **argv) {
    unsigned long inputs = argc > 1 ? strtoul(argv[1], NULL, 0) : 1000;
    random_state = argc > 2 ? strtoul(argv[2], NULL, 0) : 1;
    unsigned long seen[4] = {0};
    uint8_t *block = malloc(INPUT);
    block_end = block + INPUT;
    for (unsigned long i = 0; i < inputs; i++) {
        make_input();
        seen[check_input()]++;
    }
    free(block);
    printf("ok %lu unsupported %lu invalid %lu\n", seen[DECODE_OK], seen[DECODE_UNSUPPORTED],
           seen[DECODE_INVALID]);
    return 0;
}
