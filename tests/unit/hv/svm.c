/* What of AMD-V is pure: instruction lengths, the MSR map, the checks of VMRUN. */
#include <string.h>

#include "check.h"
#include "svm/checks.h"
#include "svm/length.h"
#include "svm/msr_map.h"

#define LENGTH(in64, opcode, ...)                                                              \
    instruction_length((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), \
                       in64, opcode)

void check_an_instruction_without_prefixes_is_its_opcode(void) {
    expect_equal(LENGTH(true, 2, 0x0f, 0xa2), 2);
    expect_equal(LENGTH(false, 1, 0xf4, 0x90), 1);
    expect_equal(LENGTH(true, 3, 0x0f, 0x01, 0xd9), 3);
}

void check_each_prefix_is_a_byte_more(void) {
    static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
                                       0x66, 0x67, 0xf0, 0xf2, 0xf3};
    for (unsigned i = 0; i < sizeof prefixes; i++) {
        expect_equal(LENGTH(true, 2, prefixes[i], 0x0f, 0xa2), 3);
        expect_equal(LENGTH(false, 2, prefixes[i], prefixes[i], 0x0f, 0xa2), 4);
    }
}

void check_rex_is_a_prefix_in_64_bit_mode_alone(void) {
    expect_equal(LENGTH(true, 2, 0x48, 0x0f, 0xa2), 3);
    expect_equal(LENGTH(true, 2, 0x66, 0x4f, 0x0f, 0xa2), 4);
    expect_equal(LENGTH(false, 2, 0x48, 0x0f, 0xa2), 2); /* there it is DEC, and the exit a lie */
    uint8_t rex;
    expect_equal(instruction_prefixes((const uint8_t[]){0x41, 0x0f}, 2, true, &rex), 1);
    expect_equal(rex, 0x41);
    expect_equal(instruction_prefixes((const uint8_t[]){0x41, 0x66, 0x0f}, 3, true, &rex), 2);
    expect_equal(rex, 0); /* it does not count before another prefix */
}

void check_a_length_stays_that_of_an_instruction_whatever_the_bytes(void) {
    uint8_t bytes[15];
    memset(bytes, 0x66, sizeof bytes);
    for (unsigned count = 0; count <= sizeof bytes; count++) {
        for (unsigned opcode = 1; opcode <= 3; opcode++) {
            unsigned length = instruction_length(bytes, count, true, opcode);
            expect(length >= opcode && length <= 15);
        }
    }
}

static bool intercepted(const uint8_t *map, uint32_t base, uint32_t msr, bool write) {
    unsigned bit = (msr & 0x1fff) * 2 + write;
    return map[base + bit / 8] >> bit % 8 & 1;
}

void check_the_msr_map_lets_what_is_direct_through_and_nothing_else(void) {
    static const struct msr_rule rules[] = {
        {0x10, 0x12, MSR_DIRECT, 0},
        {0x1fff, 0x1fff, MSR_DIRECT, 0},
        {0x2000, 0x2000, MSR_DIRECT, 0}, /* beyond any range: no bit */
        {0xc0000081, 0xc0000081, MSR_DIRECT, 0},
        {0xc0010000, 0xc0010000, MSR_DIRECT, 0},
        {0xc0011fff, 0xc0011fff, MSR_DIRECT, 0},
        {0xc0000080, 0xc0000080, MSR_EMULATED, 0},
    };
    static uint8_t map[MSR_MAP_SIZE];
    msr_map_fill(map, rules, sizeof rules / sizeof rules[0]);
    unsigned clear = 0;
    for (unsigned i = 0; i < MSR_MAP_SIZE; i++) {
        clear += 8 - (unsigned)__builtin_popcount(map[i]);
    }
    expect_equal(clear, 2 * (3 + 1 + 1 + 1 + 1));
    for (int write = 0; write < 2; write++) {
        expect(intercepted(map, 0, 0x0f, write));
        expect(!intercepted(map, 0, 0x10, write));
        expect(!intercepted(map, 0, 0x12, write));
        expect(intercepted(map, 0, 0x13, write));
        expect(!intercepted(map, 0, 0x1fff, write));
        expect(intercepted(map, 0x800, 0xc0000080, write));
        expect(!intercepted(map, 0x800, 0xc0000081, write));
        expect(!intercepted(map, 0x1000, 0xc0010000, write));
        expect(!intercepted(map, 0x1000, 0xc0011fff, write));
    }
}

static struct vmcb good(void) {
    struct vmcb vmcb = {.control = {.guest_asid = 1, .nested_control = NP_ENABLE, .n_cr3 = 0x1000},
                        .state = {.efer = 1 << 12 | 1 << 8 | 1 << 10,
                                  .cr0 = 0x80000011,
                                  .cr4 = 1 << 5,
                                  .dr6 = 0xffff0ff0,
                                  .dr7 = 0x400,
                                  .cs = {.attributes = 0xa9b},
                                  .g_pat = 0x0007040600070406}};
    vmcb_set_intercept(&vmcb, INTERCEPT_VMRUN, true);
    return vmcb;
}

void check_a_vmcb_that_is_right_violates_nothing(void) {
    struct vmcb vmcb = good();
    expect(!svm_violation(&vmcb));
    vmcb.state.cr0 = 0x10; /* real mode */
    vmcb.state.efer = 1 << 12;
    vmcb.state.cs.attributes = 0x9b;
    expect(!svm_violation(&vmcb));
    static const uint32_t events[] = {0x80000020, 0x80000202, 0x80000b0d, 0x80000480, 0x0000ff00};
    for (unsigned i = 0; i < sizeof events / sizeof events[0]; i++) {
        vmcb.control.eventinj = events[i];
        expect(!svm_violation(&vmcb));
    }
}

void check_each_type_of_the_pat_is_good_or_reserved_in_each_place(void) {
    struct vmcb vmcb = good();
    for (unsigned type = 0; type < 256; type++) {
        for (unsigned place = 0; place < 64; place += 8) {
            vmcb.state.g_pat = (0x0007040600070406 & ~(0xffull << place)) | (uint64_t)type << place;
            expect_equal(svm_violation(&vmcb) != NULL, type > 7 || type == 2 || type == 3);
        }
    }
}

#define VIOLATES(words, change)                   \
    do {                                          \
        struct vmcb vmcb = good();                \
        change;                                   \
        const char *found = svm_violation(&vmcb); \
        expect(found && strstr(found, words));    \
    } while (0)

void check_each_violated_check_is_named(void) {
    VIOLATES("VMRUN intercept", vmcb_set_intercept(&vmcb, INTERCEPT_VMRUN, false));
    VIOLATES("ASID", vmcb.control.guest_asid = 0);
    VIOLATES("event injection", vmcb.control.eventinj = 0x80000302); /* NMI as an exception */
    VIOLATES("event injection", vmcb.control.eventinj = 0x80000320); /* 32 is none */
    VIOLATES("event injection", vmcb.control.eventinj = 0x80000100); /* type 1 */
    VIOLATES("SVME", vmcb.state.efer &= ~(1ull << 12));
    VIOLATES("CR0.NW", vmcb.state.cr0 |= 1u << 29);
    VIOLATES("CR0[63:32]", vmcb.state.cr0 |= 1ull << 32);
    VIOLATES("CR4[63:32]", vmcb.state.cr4 |= 1ull << 32);
    VIOLATES("DR6", vmcb.state.dr6 |= 1ull << 32);
    VIOLATES("DR7", vmcb.state.dr7 |= 1ull << 63);
    VIOLATES("EFER[63:32]", vmcb.state.efer |= 1ull << 40);
    VIOLATES("CR4.PAE", vmcb.state.cr4 = 0);
    VIOLATES("CR0.PE", vmcb.state.cr0 &= ~1ull);
    VIOLATES("CS.L", vmcb.state.cs.attributes |= 1 << 10);
    VIOLATES("G_PAT", vmcb.state.g_pat = 2);
    VIOLATES("N_CR3", vmcb.control.n_cr3 |= 1);
}
