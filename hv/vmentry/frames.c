#include "vmentry/frames.h"

#include "core/serial.h"

enum { START_1 = 'V', START_2 = 'F' };

static uint32_t crc;

/* CRC-32 as everybody has it (polynomial 0xedb88320), four bits at a time. */
static void crc_add(uint8_t byte) {
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    crc = crc >> 4 ^ table[(crc ^ byte) & 15];
    crc = crc >> 4 ^ table[(crc ^ byte >> 4) & 15];
}

static uint8_t read_byte(void) {
    uint8_t byte;
    while (!serial_read(SERIAL_COM2, &byte)) {
        /* There is nothing else to do. */
    }
    return byte;
}

static uint8_t next(void) {
    uint8_t byte = read_byte();
    crc_add(byte);
    return byte;
}

static uint16_t next_u16(void) {
    uint16_t low = next();
    return (uint16_t)(low | next() << 8);
}

static void await_start(void) {
    bool first = false;
    for (;;) {
        uint8_t byte = read_byte();
        if (first && byte == START_2) {
            break;
        }
        first = byte == START_1;
    }
    crc = ~0u;
    crc_add(START_1);
    crc_add(START_2);
}

bool frame_receive(struct frame *frame) {
    await_start();
    frame->number = next_u16();
    frame->length = next_u16();
    if (frame->length > LONGEST_PAYLOAD) {
        return false;
    }
    for (unsigned i = 0; i < frame->length; i++) {
        frame->payload[i] = next();
    }
    uint32_t expected = ~crc, sent = next_u16();
    sent |= (uint32_t)next_u16() << 16;
    return sent == expected;
}

static bool take(const struct frame *frame, unsigned *offset, unsigned bytes, uint64_t *value) {
    if (*offset + bytes > frame->length) {
        return false;
    }
    *value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        *value |= (uint64_t)frame->payload[*offset + i] << 8 * i;
    }
    *offset += bytes;
    return true;
}

static bool take_write(const struct frame *frame, unsigned *offset, struct write *write) {
    uint64_t encoding, size;
    if (!take(frame, offset, 2, &encoding) || !take(frame, offset, 1, &size) || (size & 0x7f) > 8 ||
        !take(frame, offset, size & 0x7f, &write->value)) {
        return false;
    }
    write->encoding = (uint16_t)encoding;
    if (size & 0x80) {
        write->value = ~write->value;
    }
    return true;
}

bool frame_case(const struct frame *frame, unsigned *offset, struct entry_case *to) {
    uint64_t base, count;
    if (!take(frame, offset, 1, &base) || !take(frame, offset, 1, &count) || count > MOST_WRITES) {
        return false;
    }
    to->base = (uint8_t)base;
    to->count = (uint8_t)count;
    for (unsigned i = 0; i < count; i++) {
        if (!take_write(frame, offset, &to->writes[i])) {
            return false;
        }
    }
    return true;
}
