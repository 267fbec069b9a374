#include "vm/decode.h"

enum { RBX = 3, RSP, RBP, RSI, RDI };
enum { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8 };

/* Opcodes, SDM 2B: MOV, MOVSX/MOVSXD, MOVZX. The escape byte 0F is the high byte of the last four. */
enum {
    ESCAPE = 0x0f,
    MOVSXD = 0x63,
    MOV_RM8_R8 = 0x88,
    MOV_RM_R = 0x89,
    MOV_R8_RM8 = 0x8a,
    MOV_R_RM = 0x8b,
    MOV_AL_OFFSET = 0xa0,
    MOV_RAX_OFFSET = 0xa1,
    MOV_OFFSET_AL = 0xa2,
    MOV_OFFSET_RAX = 0xa3,
    MOV_RM8_IMMEDIATE = 0xc6,
    MOV_RM_IMMEDIATE = 0xc7,
    MOVZX_RM8 = 0x0fb6,
    MOVZX_RM16 = 0x0fb7,
    MOVSX_RM8 = 0x0fbe,
    MOVSX_RM16 = 0x0fbf,
};

/* What follows the opcode. */
enum form { FORM_UNSUPPORTED, FORM_REGISTER, FORM_IMMEDIATE, FORM_OFFSET };

struct cursor {
    const uint8_t *bytes;
    unsigned available, position;
};

struct prefixes {
    bool operand_size, address_size, segment_given;
    uint8_t segment;
    uint8_t rex; /* 0: none */
};

/* Whether so many more bytes can be taken. The limit comes first: no further byte lifts it. */
static enum decode_result require(const struct cursor *cursor, unsigned count) {
    if (cursor->position + count > DECODE_LONGEST) {
        return DECODE_INVALID;
    }
    return cursor->position + count > cursor->available ? DECODE_NEED_MORE : DECODE_OK;
}

/* A little-endian number; the caller has required its bytes. */
static uint64_t take(struct cursor *cursor, unsigned count) {
    uint64_t value = 0;
    for (unsigned i = 0; i < count; i++) {
        value |= (uint64_t)cursor->bytes[cursor->position++] << (8 * i);
    }
    return value;
}

static uint64_t cut(uint64_t value, unsigned bytes) {
    return bytes >= 8 ? value : value & ((1ull << (8 * bytes)) - 1);
}

static uint64_t sign_extended(uint64_t value, unsigned bytes) {
    uint64_t sign = 1ull << (8 * bytes - 1);
    return (cut(value, bytes) ^ sign) - sign;
}

static uint64_t take_signed(struct cursor *cursor, unsigned count) {
    return count ? sign_extended(take(cursor, count), count) : 0;
}

static void set_segment(struct prefixes *prefixes, enum decode_mode mode, uint8_t segment) {
    /* 64-bit mode ignores all but FS and GS (SDM 1 3.4.2.1); compilers pad with the others. */
    if (mode != DECODE_64 || segment == DECODE_FS || segment == DECODE_GS) {
        prefixes->segment = segment;
        prefixes->segment_given = true;
    }
}

/* SDM 2A 2.1.1 and 2.2.1. Leaves the cursor at the opcode, which is there to be taken. */
static enum decode_result take_prefixes(struct cursor *cursor, enum decode_mode mode,
                                        struct prefixes *prefixes) {
    for (;; cursor->position++) {
        enum decode_result result = require(cursor, 1);
        if (result != DECODE_OK) {
            return result;
        }
        uint8_t byte = cursor->bytes[cursor->position];
        if (mode == DECODE_64 && (byte & 0xf0) == 0x40) {
            prefixes->rex = byte;
            continue;
        }
        switch (byte) {
        case 0x26: set_segment(prefixes, mode, DECODE_ES); break;
        case 0x2e: set_segment(prefixes, mode, DECODE_CS); break;
        case 0x36: set_segment(prefixes, mode, DECODE_SS); break;
        case 0x3e: set_segment(prefixes, mode, DECODE_DS); break;
        case 0x64: set_segment(prefixes, mode, DECODE_FS); break;
        case 0x65: set_segment(prefixes, mode, DECODE_GS); break;
        case 0x66: prefixes->operand_size = true; break;
        case 0x67: prefixes->address_size = true; break;
        default: return DECODE_OK; /* LOCK and REP are no opcode that is known here */
        }
        prefixes->rex = 0; /* REX counts only directly before the opcode */
    }
}

static uint8_t operand_size_of(enum decode_mode mode, const struct prefixes *prefixes) {
    if (prefixes->rex & REX_W) {
        return 8;
    }
    return (mode == DECODE_16) == prefixes->operand_size ? 4 : 2;
}

static uint8_t address_size_of(enum decode_mode mode, const struct prefixes *prefixes) {
    if (mode == DECODE_64) {
        return prefixes->address_size ? 4 : 8;
    }
    return (mode == DECODE_16) == prefixes->address_size ? 4 : 2;
}

static enum form set_read(struct decoded *d, enum form form, uint8_t from, uint8_t to) {
    d->operand_size = from;
    d->destination_size = to;
    return form;
}

static enum form set_write(struct decoded *d, enum form form, uint8_t size) {
    d->operand_size = size;
    d->write = true;
    return form;
}

/* `size` is the operand size that mode and prefixes give. */
static enum form set_opcode(struct decoded *d, unsigned opcode, enum decode_mode mode,
                            uint8_t size) {
    d->sign_extend = opcode == MOVSXD || opcode == MOVSX_RM8 || opcode == MOVSX_RM16;
    switch (opcode) {
    case MOV_RM8_R8: return set_write(d, FORM_REGISTER, 1);
    case MOV_RM_R: return set_write(d, FORM_REGISTER, size);
    case MOV_R8_RM8: return set_read(d, FORM_REGISTER, 1, 1);
    case MOV_R_RM: return set_read(d, FORM_REGISTER, size, size);
    case MOV_AL_OFFSET: return set_read(d, FORM_OFFSET, 1, 1);
    case MOV_RAX_OFFSET: return set_read(d, FORM_OFFSET, size, size);
    case MOV_OFFSET_AL: return set_write(d, FORM_OFFSET, 1);
    case MOV_OFFSET_RAX: return set_write(d, FORM_OFFSET, size);
    case MOV_RM8_IMMEDIATE: return set_write(d, FORM_IMMEDIATE, 1);
    case MOV_RM_IMMEDIATE: return set_write(d, FORM_IMMEDIATE, size);
    case MOVZX_RM8:
    case MOVSX_RM8: return set_read(d, FORM_REGISTER, 1, size);
    case MOVZX_RM16:
    case MOVSX_RM16: return set_read(d, FORM_REGISTER, 2, size);
    case MOVSXD:
        /* ARPL outside 64-bit mode. With 66 Intel reads 16 bits and AMD 32: no compiler's form. */
        return mode == DECODE_64 && size != 2 ? set_read(d, FORM_REGISTER, 4, size)
                                              : FORM_UNSUPPORTED;
    default: return FORM_UNSUPPORTED;
    }
}

/* SDM 2A 3.1.1.1, table 3-1: without REX, byte registers 4 to 7 are the second bytes of 0 to 3. */
static void set_register(struct decoded *d, uint8_t number, uint8_t rex) {
    uint8_t size = d->write ? d->operand_size : d->destination_size;
    d->high_byte = size == 1 && !rex && number >= 4;
    d->reg = d->high_byte ? number - 4 : number | (rex & REX_R ? 8 : 0);
}

/* SDM 2A table 2-1. Returns the size of the displacement. */
static unsigned set_address_16(struct decoded *d, unsigned mod, unsigned rm) {
    static const uint8_t bases[8] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
    if (mod == 0 && rm == 6) {
        return 2;
    }
    d->base = bases[rm];
    if (rm < 4) {
        d->index = rm & 1 ? RDI : RSI;
    }
    return mod;
}

/* SDM 2A tables 2-2 and 2-3, 2.2.1.2 and 2.2.1.6. Takes the SIB byte, which the caller required. */
static unsigned set_address_32(struct decoded *d, struct cursor *cursor, enum decode_mode mode,
                               unsigned mod, unsigned rm, uint8_t rex) {
    unsigned base = rm;
    if (rm == RSP) {
        uint8_t sib = (uint8_t)take(cursor, 1);
        unsigned index = (sib >> 3 & 7) | (rex & REX_X ? 8 : 0);
        if (index != RSP) {
            d->index = (uint8_t)index;
            d->scale = (uint8_t)(1 << (sib >> 6));
        }
        base = sib & 7;
    }
    /* These two escapes are recognized without REX.B, so R12 and R13 share them. */
    if (mod == 0 && base == RBP) {
        d->rip_relative = mode == DECODE_64 && rm == RBP;
        return 4;
    }
    d->base = (uint8_t)(base | (rex & REX_B ? 8 : 0));
    return mod == 2 ? 4 : mod;
}

static enum decode_result take_operands(struct decoded *d, struct cursor *cursor,
                                        enum decode_mode mode, enum form form, uint8_t rex) {
    unsigned immediate = form != FORM_IMMEDIATE ? 0 : d->operand_size == 8 ? 4 : d->operand_size;
    enum decode_result result = require(cursor, 1);
    if (result != DECODE_OK) {
        return result;
    }
    uint8_t modrm = (uint8_t)take(cursor, 1);
    unsigned mod = modrm >> 6, rm = modrm & 7;
    uint8_t number = modrm >> 3 & 7;
    if (mod == 3 || (form == FORM_IMMEDIATE && number != 0)) {
        return DECODE_UNSUPPORTED;
    }
    if (form == FORM_REGISTER) {
        set_register(d, number, rex);
    }

    unsigned displacement;
    if (d->address_size == 2) {
        displacement = set_address_16(d, mod, rm);
    } else {
        result = require(cursor, rm == RSP ? 1 : 0);
        if (result != DECODE_OK) {
            return result;
        }
        displacement = set_address_32(d, cursor, mode, mod, rm, rex);
    }
    if (d->base == RBP || d->base == RSP) {
        d->segment = DECODE_SS;
    }
    result = require(cursor, displacement + immediate);
    if (result == DECODE_OK) {
        d->displacement = take_signed(cursor, displacement);
        d->immediate_source = immediate != 0;
        d->immediate = cut(take_signed(cursor, immediate), d->operand_size);
    }
    return result;
}

/* MOV to and from an offset that is as wide as addresses are (SDM 2A 2.2.1.4). */
static enum decode_result take_offset(struct decoded *d, struct cursor *cursor) {
    enum decode_result result = require(cursor, d->address_size);
    if (result == DECODE_OK) {
        d->displacement = take(cursor, d->address_size);
    }
    return result;
}

enum decode_result decode_mov(const uint8_t *bytes, unsigned available, enum decode_mode mode,
                              struct decoded *out) {
    struct cursor cursor = {.bytes = bytes, .available = available};
    struct prefixes prefixes = {0};
    enum decode_result result = take_prefixes(&cursor, mode, &prefixes);
    if (result != DECODE_OK) {
        return result;
    }
    struct decoded d = {.segment = DECODE_DS,
                        .address_size = address_size_of(mode, &prefixes),
                        .base = DECODE_NO_REGISTER,
                        .index = DECODE_NO_REGISTER,
                        .scale = 1};
    uint8_t size = operand_size_of(mode, &prefixes);
    unsigned opcode = (unsigned)take(&cursor, 1);
    if (opcode == ESCAPE) {
        result = require(&cursor, 1);
        if (result != DECODE_OK) {
            return result;
        }
        opcode = ESCAPE << 8 | (unsigned)take(&cursor, 1);
    }
    enum form form = set_opcode(&d, opcode, mode, size);
    if (form == FORM_UNSUPPORTED) {
        return DECODE_UNSUPPORTED;
    }
    result = form == FORM_OFFSET ? take_offset(&d, &cursor)
                                 : take_operands(&d, &cursor, mode, form, prefixes.rex);
    if (result != DECODE_OK) {
        return result;
    }
    if (prefixes.segment_given) {
        d.segment = prefixes.segment;
    }
    d.length = (uint8_t)cursor.position;
    *out = d;
    return DECODE_OK;
}

uint64_t decode_effective_address(const struct decoded *decoded, const uint64_t registers[16],
                                  uint64_t next_rip) {
    uint64_t address = decoded->displacement;
    if (decoded->rip_relative) {
        address += next_rip;
    }
    if (decoded->base != DECODE_NO_REGISTER) {
        address += registers[decoded->base];
    }
    if (decoded->index != DECODE_NO_REGISTER) {
        address += registers[decoded->index] * decoded->scale;
    }
    return cut(address, decoded->address_size);
}
