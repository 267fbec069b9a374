#include "svm/length.h"

enum { LONGEST = 15 };

static bool is_legacy_prefix(uint8_t byte) {
    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
    case 0x66:
    case 0x67:
    case 0xf0:
    case 0xf2:
    case 0xf3: return true;
    default: return false;
    }
}

unsigned instruction_prefixes(const uint8_t *bytes, unsigned count, bool in_64_bit_mode,
                              uint8_t *rex) {
    unsigned i = 0;
    *rex = 0;
    for (; i < count; i++) {
        if (in_64_bit_mode && (bytes[i] & 0xf0) == 0x40) {
            *rex = bytes[i];
        } else if (is_legacy_prefix(bytes[i])) {
            *rex = 0; /* a REX that is not the last prefix has no effect */
        } else {
            break;
        }
    }
    return i;
}

unsigned instruction_length(const uint8_t *bytes, unsigned count, bool in_64_bit_mode,
                            unsigned opcode) {
    uint8_t rex;
    unsigned prefixes = instruction_prefixes(bytes, count, in_64_bit_mode, &rex);
    return prefixes + opcode <= LONGEST ? prefixes + opcode : opcode;
}
