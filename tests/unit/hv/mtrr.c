/* Memory types by physical address, against the rules of SDM 3A 12.11. */
#include "cpu/mtrr.h"

#include "check.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MIB          (1ull << 20)
#define GIB          (1ull << 30)

enum { ADDRESS_BITS = 36, FIXED = 1 << 10, ENABLED = 1 << 11, VALID = 1 << 11 };

static const uint64_t LIMIT = 1ull << ADDRESS_BITS;

/* Ten variable ranges, fixed ranges present; all off. */
static struct mtrr_state state_with(uint64_t default_type) {
    return (struct mtrr_state){
        .capability = 0x50a, .default_type = default_type, .physical_address_bits = ADDRESS_BITS};
}

static void set(struct mtrr_state *state, unsigned i, uint64_t start, uint64_t size,
                enum memory_type type) {
    state->variable[i].base = start | type;
    state->variable[i].mask = (~(size - 1) & (LIMIT - 1)) | VALID;
}

static enum memory_type type_at(const struct mtrr_state *state, uint64_t address) {
    uint64_t end;
    enum memory_type type = mtrr_type(state, address, &end);
    expect(end > address);
    return type;
}

void check_everything_is_uncacheable_while_mtrrs_are_disabled(void) {
    struct mtrr_state state = state_with(FIXED | MEMORY_WB);
    set(&state, 0, 0, GIB, MEMORY_WB);
    enum memory_type type;
    expect(mtrr_uniform(&state, 0, 4 * GIB, &type));
    expect_equal(type, MEMORY_UC);
}

void check_the_default_type_is_for_what_no_range_matches(void) {
    static const enum memory_type types[] = {MEMORY_UC, MEMORY_WC, MEMORY_WT, MEMORY_WP, MEMORY_WB};
    for (unsigned i = 0; i < COUNT(types); i++) {
        struct mtrr_state state = state_with(ENABLED | types[i]);
        set(&state, 0, GIB, GIB, MEMORY_WB);
        expect_equal(type_at(&state, GIB - 1), types[i]);
        expect_equal(type_at(&state, GIB), MEMORY_WB);
        expect_equal(type_at(&state, 2 * GIB - 1), MEMORY_WB);
        expect_equal(type_at(&state, 2 * GIB), types[i]);
    }
}

void check_precedence_where_two_ranges_match(void) {
    /* 12.11.4.1; what the manual leaves undefined is UC here */
    static const struct {
        enum memory_type a, b, wanted;
    } cases[] = {
        {MEMORY_UC, MEMORY_UC, MEMORY_UC}, {MEMORY_WC, MEMORY_WC, MEMORY_WC},
        {MEMORY_WT, MEMORY_WT, MEMORY_WT}, {MEMORY_WP, MEMORY_WP, MEMORY_WP},
        {MEMORY_WB, MEMORY_WB, MEMORY_WB}, {MEMORY_UC, MEMORY_WC, MEMORY_UC},
        {MEMORY_UC, MEMORY_WT, MEMORY_UC}, {MEMORY_UC, MEMORY_WP, MEMORY_UC},
        {MEMORY_UC, MEMORY_WB, MEMORY_UC}, {MEMORY_WT, MEMORY_WB, MEMORY_WT},
        {MEMORY_WC, MEMORY_WB, MEMORY_UC}, {MEMORY_WC, MEMORY_WT, MEMORY_UC},
        {MEMORY_WC, MEMORY_WP, MEMORY_UC}, {MEMORY_WP, MEMORY_WB, MEMORY_UC},
        {MEMORY_WP, MEMORY_WT, MEMORY_UC},
    };
    for (unsigned i = 0; i < COUNT(cases); i++) {
        for (int swapped = 0; swapped < 2; swapped++) {
            struct mtrr_state state = state_with(ENABLED | MEMORY_WP);
            set(&state, 3, 0, 4 * GIB, swapped ? cases[i].b : cases[i].a);
            set(&state, 9, GIB, GIB, swapped ? cases[i].a : cases[i].b);
            expect_equal(type_at(&state, GIB + 12345), cases[i].wanted);
            expect_equal(type_at(&state, 12345), swapped ? cases[i].b : cases[i].a);
        }
    }
}

void check_uncacheable_wins_over_any_number_of_ranges(void) {
    for (unsigned uncacheable = 0; uncacheable < 4; uncacheable++) {
        struct mtrr_state state = state_with(ENABLED | MEMORY_WB);
        for (unsigned i = 0; i < 4; i++) {
            set(&state, i, 0, GIB, i == uncacheable ? MEMORY_UC : i % 2 ? MEMORY_WT : MEMORY_WB);
        }
        expect_equal(type_at(&state, 0), MEMORY_UC);
        state.variable[uncacheable].mask &= ~(uint64_t)VALID;
        expect_equal(type_at(&state, 0), MEMORY_WT);
    }
}

void check_fixed_ranges_go_first_below_1_mib(void) {
    struct mtrr_state state = state_with(ENABLED | FIXED | MEMORY_WB);
    set(&state, 0, 0, GIB, MEMORY_WC);
    /* A type for each of the 88 ranges: 8 of 64K, 16 of 16K, 64 of 4K. */
    static const enum memory_type types[] = {MEMORY_UC, MEMORY_WC, MEMORY_WT, MEMORY_WP, MEMORY_WB};
    for (unsigned range = 0; range < 88; range++) {
        state.fixed[range / 8] |= (uint64_t)types[range % 5] << range % 8 * 8;
    }
    uint64_t address = 0, end;
    for (unsigned range = 0; range < 88; range++) {
        uint64_t size = range < 8 ? 0x10000 : range < 24 ? 0x4000 : 0x1000;
        expect_equal(mtrr_type(&state, address, &end), types[range % 5]);
        expect_equal(end, address + size);
        expect_equal(mtrr_type(&state, address + size - 1, &end), types[range % 5]);
        expect_equal(end, address + size);
        address += size;
    }
    expect_equal(address, MIB);
    expect_equal(type_at(&state, MIB), MEMORY_WC);

    state.default_type &= ~(uint64_t)FIXED; /* not enabled: the variable range counts */
    expect_equal(type_at(&state, 0), MEMORY_WC);
    state.default_type |= FIXED;
    state.capability &= ~(1ull << 8); /* not there at all */
    expect_equal(type_at(&state, 0), MEMORY_WC);
}

void check_reserved_types_are_taken_for_uncacheable(void) {
    static const unsigned reserved[] = {2, 3, 7, 8, 0x86, 0xff};
    for (unsigned i = 0; i < COUNT(reserved); i++) {
        struct mtrr_state state = state_with(ENABLED | FIXED | reserved[i]);
        state.fixed[0] = reserved[i];
        set(&state, 0, GIB, GIB, MEMORY_UC);
        state.variable[0].base |= reserved[i];
        expect_equal(type_at(&state, 0), MEMORY_UC);
        expect_equal(type_at(&state, GIB), MEMORY_UC);
        expect_equal(type_at(&state, 3 * GIB), MEMORY_UC);
    }
}

void check_ranges_that_straddle_are_not_uniform(void) {
    struct mtrr_state state = state_with(ENABLED | MEMORY_UC);
    set(&state, 0, 0, 2 * GIB, MEMORY_WB);
    set(&state, 1, GIB, 4096, MEMORY_UC);
    set(&state, 2, 2 * GIB, GIB, MEMORY_WB);
    enum memory_type type;
    expect(mtrr_uniform(&state, 0, GIB, &type));
    expect_equal(type, MEMORY_WB);
    expect(!mtrr_uniform(&state, 0, GIB + 4096, &type));
    expect(!mtrr_uniform(&state, 0, 2 * GIB, &type));
    expect(!mtrr_uniform(&state, GIB, 8192, &type));
    expect(mtrr_uniform(&state, GIB, 4096, &type));
    expect_equal(type, MEMORY_UC);
    expect(mtrr_uniform(&state, GIB + 4096, 2 * GIB - 4096, &type)); /* two registers, one type */
    expect_equal(type, MEMORY_WB);
    expect(!mtrr_uniform(&state, GIB + 4096, 2 * GIB, &type));
    expect(!mtrr_uniform(&state, 0, 0, &type));
    expect(!mtrr_uniform(&state, 8192, UINT64_MAX, &type)); /* it wraps */
    expect(
        mtrr_uniform(&state, LIMIT - 4096, 8192, &type)); /* beyond memory there is nothing: UC */
    expect(mtrr_uniform(&state, LIMIT, -LIMIT, &type));
    expect_equal(type, MEMORY_UC);
}

void check_a_mask_with_holes_matches_many_ranges(void) {
    struct mtrr_state state = state_with(ENABLED | MEMORY_WB);
    state.variable[0].base = 0x100000 | MEMORY_UC;
    state.variable[0].mask = 0x100000 | VALID; /* every second MiB */
    for (uint64_t mib = 0; mib < 100; mib++) {
        uint64_t end;
        expect_equal(mtrr_type(&state, mib * MIB + 5, &end), mib % 2 ? MEMORY_UC : MEMORY_WB);
        expect_equal(end, (mib + 1) * MIB);
    }
}

void check_a_valid_empty_mask_matches_everything(void) {
    struct mtrr_state state = state_with(ENABLED | MEMORY_WB);
    enum memory_type type;
    state.variable[0].base = GIB | MEMORY_WC;
    state.variable[0].mask = VALID;
    expect(mtrr_uniform(&state, 0, LIMIT, &type));
    expect_equal(type, MEMORY_WC);
}

void check_registers_beyond_the_count_do_not_count(void) {
    struct mtrr_state state = state_with(ENABLED | MEMORY_WB);
    set(&state, 10, 0, GIB, MEMORY_UC);
    expect_equal(type_at(&state, 0), MEMORY_WB);
    state.capability = 0x5ff; /* more than there is room for */
    expect_equal(type_at(&state, 0), MEMORY_UC);
}

/* The rules once more, for one address and with no thought of speed. */
static enum memory_type slow_type(const struct mtrr_state *state, uint64_t address) {
    unsigned seen = 0, matches = 0;
    for (unsigned i = 0; i < 10; i++) {
        uint64_t mask = state->variable[i].mask & (LIMIT - 1) & ~0xfffull;
        if (state->variable[i].mask & VALID &&
            (address & mask) == (state->variable[i].base & mask)) {
            seen |= 1u << (state->variable[i].base & 7);
            matches++;
        }
    }
    if (!matches) {
        return (enum memory_type)(state->default_type & 7);
    }
    if (!(seen & (seen - 1))) {
        return (enum memory_type)__builtin_ctz(seen);
    }
    return seen == (1u << MEMORY_WT | 1u << MEMORY_WB) ? MEMORY_WT : MEMORY_UC;
}

void check_runs_of_random_ranges_are_really_of_one_type(void) {
    static const enum memory_type types[] = {MEMORY_UC, MEMORY_WT, MEMORY_WB, MEMORY_WB};
    for (int round = 0; round < 300; round++) {
        struct mtrr_state state = state_with(ENABLED | types[random_below(4)]);
        for (unsigned i = 0; i < 10; i++) {
            uint64_t size = 4096ull << random_below(8); /* all within 16 MiB, so that they meet */
            set(&state, i, random_below(256) * 4096 & -size, size, types[random_below(4)]);
            if (random_below(8) == 0) {
                state.variable[i].mask ^= 4096ull << random_below(10);
            }
            if (random_below(4) == 0) {
                state.variable[i].mask &= ~(uint64_t)VALID;
            }
        }
        uint64_t end;
        unsigned runs = 0;
        for (uint64_t at = 0; at < 2 * MIB; at = end) {
            enum memory_type type = mtrr_type(&state, at, &end);
            expect(end > at && ++runs <= 512);
            for (uint64_t page = at; page < end && page < 2 * MIB; page += 4096) {
                expect_equal(type, slow_type(&state, page));
            }
        }
    }
}
