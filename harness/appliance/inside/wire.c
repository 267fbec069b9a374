#include "wire.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool wire_fill(struct wire *wire) {
    if (wire->start > 0) {
        memmove(wire->buffer, wire->buffer + wire->start, wire->end - wire->start);
        wire->end -= wire->start;
        wire->start = 0;
    }
    ssize_t count;
    do
        count = read(wire->fd, wire->buffer + wire->end, sizeof wire->buffer - wire->end);
    while (count < 0 && errno == EINTR);
    if (count <= 0)
        return false;
    wire->end += (size_t)count;
    return true;
}

enum wire_line wire_take_line(struct wire *wire, char line[static LONGEST_LINE]) {
    char *start = wire->buffer + wire->start;
    size_t held = wire->end - wire->start;
    const char *newline = memchr(start, '\n', held);
    if (!newline) {
        if (held < sizeof wire->buffer)
            return LINE_INCOMPLETE;
        wire->start = wire->end;
        wire->skipping = true;
        return LINE_INCOMPLETE;
    }
    size_t length = (size_t)(newline - start);
    bool too_long = wire->skipping || length >= LONGEST_LINE;
    wire->start += length + 1;
    wire->skipping = false;
    if (too_long)
        return LINE_TOO_LONG;
    memcpy(line, start, length);
    line[length] = '\0';
    return LINE_TAKEN;
}

size_t wire_take(struct wire *wire, void *data, size_t size) {
    if (wire->start == wire->end && !wire_fill(wire))
        return 0;
    size_t held = wire->end - wire->start;
    size_t count = size < held ? size : held;
    memcpy(data, wire->buffer + wire->start, count);
    wire->start += count;
    return count;
}

bool wire_holds(const struct wire *wire) {
    return wire->start < wire->end;
}

bool wire_send(const struct wire *wire, const void *data, size_t size) {
    for (const char *rest = data; size > 0;) {
        ssize_t count = write(wire->fd, rest, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        rest += count;
        size -= (size_t)count;
    }
    return true;
}

bool wire_answer(const struct wire *wire, const char *format, ...) {
    char line[LONGEST_LINE + 64];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length < 0)
        return false;
    size_t size = (size_t)length < sizeof line - 1 ? (size_t)length : sizeof line - 2;
    line[size++] = '\n';
    return wire_send(wire, line, size);
}

uint32_t crc32_of(uint32_t crc, const void *data, size_t size) {
    // Four bits a step: 16 words of table instead of 256, for files that are small.
    static const uint32_t STEP[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
        0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
        0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
    };
    crc = ~crc;
    for (const unsigned char *byte = data; size > 0; byte++, size--) {
        crc ^= *byte;
        crc = crc >> 4 ^ STEP[crc & 15];
        crc = crc >> 4 ^ STEP[crc & 15];
    }
    return ~crc;
}
