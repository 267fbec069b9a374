#include "cpu/mtrr.h"

#include <assert.h>

static const uint64_t FIXED_END = 1ull << 20;
static const uint64_t ADDRESSES_END = UINT64_MAX;

bool memory_type_valid(uint64_t type) {
    return type == MEMORY_UC || type == MEMORY_WC || type == MEMORY_WT || type == MEMORY_WP ||
           type == MEMORY_WB;
}

/* Reserved encodings are undefined behaviour of the processor: the type without side effects. */
static enum memory_type sanitized(uint64_t type) {
    return memory_type_valid(type) ? (enum memory_type)type : MEMORY_UC;
}

/* 12.11.2.2, table 12-9: eight ranges a register, of 64K up to 512K, 16K up to 768K, then 4K. */
static enum memory_type fixed_type(const struct mtrr_state *state, uint64_t address,
                                   uint64_t *end) {
    static const struct {
        uint64_t start;
        unsigned shift, first_range;
    } blocks[] = {{0xc0000, 12, 24}, {0x80000, 14, 8}, {0, 16, 0}};
    static_assert(24 + (0x100000 - 0xc0000) / 4096 == 8 * MTRR_FIXED_REGISTERS, "table 12-9");
    unsigned block = 0;
    while (address < blocks[block].start) {
        block++;
    }
    uint64_t index = (address - blocks[block].start) >> blocks[block].shift;
    unsigned range = blocks[block].first_range + (unsigned)index;
    *end = blocks[block].start + ((index + 1) << blocks[block].shift);
    return sanitized(state->fixed[range / 8] >> range % 8 * 8 & 0xff);
}

static uint64_t lower(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/*
 * Does this range match (12.11.3: address and base agree in all bits of the mask)? *end comes down
 * to the next address where the answer may differ. Masks with holes are legal and make many ranges;
 * they repeat, at the nearest, from one block of the size of their lowest bit to the next.
 */
static bool variable_matches(const struct mtrr_state *state, unsigned i, uint64_t address,
                             uint64_t *end) {
    uint64_t address_bits = (1ull << state->physical_address_bits) - 1;
    uint64_t mask = state->variable[i].mask & address_bits & ~0xfffull;
    if (!(state->variable[i].mask & MTRR_MASK_VALID) || !mask) {
        /* A valid range with an empty mask is everything. */
        return state->variable[i].mask & MTRR_MASK_VALID;
    }
    uint64_t start = state->variable[i].base & mask;
    uint64_t size = mask & -mask;
    bool matches = (address & mask) == start;
    bool contiguous = (mask | (size - 1)) == address_bits;
    if (matches || !contiguous) {
        *end = lower(*end, (address | (size - 1)) + 1);
    } else if (address < start) {
        *end = lower(*end, start);
    }
    return matches;
}

/* 12.11.4.1, 2: equal types agree, UC wins, WT wins over WB; other mixes are undefined: UC. */
static enum memory_type mixed(enum memory_type a, enum memory_type b) {
    if (a == b) {
        return a;
    }
    bool through = (a == MEMORY_WT && b == MEMORY_WB) || (a == MEMORY_WB && b == MEMORY_WT);
    return through ? MEMORY_WT : MEMORY_UC;
}

static enum memory_type variable_type(const struct mtrr_state *state, uint64_t address,
                                      uint64_t *end) {
    uint64_t count = lower(state->capability & MTRR_CAP_VARIABLE_COUNT, MTRR_VARIABLE_MOST);
    bool any = false;
    enum memory_type type = sanitized(state->default_type & MTRR_DEFAULT_TYPE);
    for (unsigned i = 0; i < count; i++) {
        if (variable_matches(state, i, address, end)) {
            enum memory_type this = sanitized(state->variable[i].base & 0xff);
            type = any ? mixed(type, this) : this;
            any = true;
        }
    }
    return type;
}

enum memory_type mtrr_type(const struct mtrr_state *state, uint64_t address, uint64_t *end) {
    *end = ADDRESSES_END;
    uint64_t limit = 1ull << state->physical_address_bits;
    if (address >= limit) {
        return MEMORY_UC; /* there is nothing */
    }
    *end = limit;
    if (!(state->default_type & MTRR_ENABLED)) {
        return MEMORY_UC;
    }
    if (state->capability & MTRR_CAP_FIXED && state->default_type & MTRR_FIXED_ENABLED) {
        if (address < FIXED_END) {
            return fixed_type(state, address, end);
        }
    }
    return variable_type(state, address, end);
}

bool mtrr_uniform(const struct mtrr_state *state, uint64_t start, uint64_t bytes,
                  enum memory_type *type) {
    uint64_t last = start + bytes - 1;
    uint64_t end;
    *type = mtrr_type(state, start, &end);
    if (!bytes || last < start) {
        return false;
    }
    while (end <= last) {
        if (end == ADDRESSES_END) {
            return true; /* the last byte of all is like the one before it */
        }
        if (mtrr_type(state, end, &end) != *type) {
            return false;
        }
    }
    return true;
}
