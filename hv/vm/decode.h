/*
 * Decodes the instruction behind an access to a device page: MOV, MOVZX, MOVSX and MOVSXD with a
 * memory operand, in every addressing mode (SDM 2A chapter 2). The bytes are the guest's and may
 * have changed since the processor read them, so nothing is taken from them but what is said here.
 * Needs nothing but itself: the unit tests run it on the host.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The default sizes of the code segment: CS.D, or CS.L in IA-32e mode (SDM 3A 5.2.1). */
enum decode_mode { DECODE_16, DECODE_32, DECODE_64 };

enum decode_result {
    DECODE_OK,
    DECODE_NEED_MORE,   /* the available bytes begin an instruction and don't decide which */
    DECODE_UNSUPPORTED, /* an instruction or a form that is not offered on device pages */
    DECODE_INVALID,     /* longer than 15 bytes: #GP(0) on a processor (SDM 2A 2.3.11) */
};

/* Segment registers as instructions number them (SDM 2D B.1.4.5). */
enum decode_segment { DECODE_ES, DECODE_CS, DECODE_SS, DECODE_DS, DECODE_FS, DECODE_GS };

enum { DECODE_LONGEST = 15, DECODE_NO_REGISTER = 0xff };

/* Registers are numbered as instructions do: RAX RCX RDX RBX RSP RBP RSI RDI R8 ... R15. */
struct decoded {
    uint8_t length;       /* bytes of the whole instruction, 1 to 15 */
    uint8_t operand_size; /* bytes of the memory access: 1, 2, 4 or 8 */
    bool write;           /* to memory */

    bool immediate_source; /* a write of this constant, already cut to operand_size; else of reg */
    uint64_t immediate;

    uint8_t reg;              /* 0 to 15: what is read or written; 0 with an immediate */
    bool high_byte;           /* reg 0 to 3 means AH, CH, DH or BH */
    uint8_t destination_size; /* reads: bytes of reg that change; 4 clears its upper half */
    bool sign_extend; /* reads: how operand_size becomes destination_size; else with zeros */

    /* Where the memory operand is, for whoever wants its linear address. */
    uint8_t segment;       /* enum decode_segment, with overrides and the defaults of rBP and rSP */
    uint8_t address_size;  /* bytes: 2, 4 or 8 */
    uint8_t base, index;   /* or DECODE_NO_REGISTER */
    uint8_t scale;         /* of the index: 1, 2, 4 or 8 */
    bool rip_relative;     /* the displacement counts from the next instruction */
    uint64_t displacement; /* sign-extended; modulo 2^64 */
};

/* Reads at most `available` bytes, and at most 15. *out is written only with DECODE_OK. */
enum decode_result decode_mov(const uint8_t *bytes, unsigned available, enum decode_mode mode,
                              struct decoded *out);

/* The offset in its segment. Limits, canonical form and the segment's base are the caller's. */
uint64_t decode_effective_address(const struct decoded *decoded, const uint64_t registers[16],
                                  uint64_t next_rip);
