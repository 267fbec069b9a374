// One end of the control line: requests in, answers out, and blocks of bytes both ways.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LONGEST_LINE = 512, // bytes, with its end
    CRC32_START = 0,
};

struct wire {
    int fd;
    bool skipping;     // in the middle of a line that is too long
    size_t start, end; // what is in `buffer` and not yet taken
    char buffer[4096];
};

enum wire_line { LINE_TAKEN, LINE_INCOMPLETE, LINE_TOO_LONG };

// Reads once, without more blocking than read(2) does. False at the end of the line, or an error.
bool wire_fill(struct wire *wire);

// The next request, ended by NUL in `line`, out of what `wire_fill` has read. One that is too long
// is left out.
enum wire_line wire_take_line(struct wire *wire, char line[static LONGEST_LINE]);

// Up to `size` bytes, waiting for at least one; 0 at the end of the line.
size_t wire_take(struct wire *wire, void *data, size_t size);

// Whether something was read that nobody has taken yet: poll(2) does not show it.
bool wire_holds(const struct wire *wire);

// Sends all of it, and answers in lines that start with '@'. False if nobody listens any more.
bool wire_send(const struct wire *wire, const void *data, size_t size);
[[gnu::format(printf, 2, 3)]] bool wire_answer(const struct wire *wire, const char *format, ...);

// CRC-32 as in zip and zlib, continued from `crc`.
uint32_t crc32_of(uint32_t crc, const void *data, size_t size);
