/*
 * Decodes the instructions on its standard input, one a line, as "MODE HEX", and says of each one
 * what it found, in the order of the fields of struct decoded. Each lies at the very end of a heap
 * block, where the address sanitizer sees a byte too many being read.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/decode.h"

enum { MOST = 32 };

static const char *const results[] = {[DECODE_OK] = "ok",
                                      [DECODE_NEED_MORE] = "need-more",
                                      [DECODE_UNSUPPORTED] = "unsupported",
                                      [DECODE_INVALID] = "invalid"};

int main(void) {
    uint8_t *block = malloc(MOST);
    unsigned mode;
    char hex[2 * MOST + 1];
    while (scanf("%u %64s", &mode, hex) == 2) {
        unsigned count = (unsigned)strlen(hex) / 2;
        uint8_t *bytes = block + MOST - count;
        for (unsigned i = 0; i < count; i++) {
            char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
            bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
        }
        struct decoded d;
        enum decode_result result = decode_mov(bytes, count, mode, &d);
        printf("%s", results[result]);
        if (result == DECODE_OK) {
            printf(" %u %u %d %d %" PRIu64 " %u %d %u %d %u %u %u %u %u %d %" PRIu64, d.length,
                   d.operand_size, d.write, d.immediate_source, d.immediate, d.reg, d.high_byte,
                   d.write ? 0 : d.destination_size, d.sign_extend, d.segment, d.address_size,
                   d.base, d.index, d.scale, d.rip_relative, d.displacement);
        }
        printf("\n");
    }
    free(block);
    return 0;
}
