/*
 * What the harness sends over COM2: frames. All numbers are little-endian.
 *
 *     'V' 'F', u16 number, u16 length, `length` bytes of payload, u32 CRC-32 of all before it
 *
 * The payload is a list of cases, up to MOST_CASES; an empty one ends the machine. A case:
 *
 *     u8 base, u8 count, then `count` writes: u16 encoding, u8 size, `size` bytes of value
 *
 * Bit 7 of a size says that the value was inverted, which makes ~0 as short as 0. An encoding with bit 15
 * is no field but word (bits 8:0) of pointed page (bits 14:9): see pages.h. One frame is answered by one
 * record before the next is sent, so nothing arrives while nobody reads.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { MOST_CASES = 128, MOST_WRITES = 12, LONGEST_PAYLOAD = 16384 };

struct write {
    uint16_t encoding;
    uint64_t value;
};

struct entry_case {
    uint8_t base, count;
    struct write writes[MOST_WRITES];
};

struct frame {
    uint16_t number, length;
    uint8_t payload[LONGEST_PAYLOAD];
};

/* Waits for the next frame. False if it was damaged: then `number` means nothing. */
bool frame_receive(struct frame *frame);

/* The case at *offset, which moves behind it. False if there is none that is well-formed. */
bool frame_case(const struct frame *frame, unsigned *offset, struct entry_case *to);
