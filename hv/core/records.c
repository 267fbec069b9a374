#include "core/records.h"

#include <stddef.h>

#include "core/format.h"
#include "core/image.h"
#include "core/panic.h"
#include "core/serial.h"

enum { RECORD_SIZE = 16384, MAX_DEPTH = 4, CLOSERS = MAX_DEPTH + 3 /* }...}\n and the zero */ };

static char record[RECORD_SIZE];
static size_t length;
static uint64_t sequence;
static char closers[MAX_DEPTH];
static unsigned depth;
static bool first_member;

void records_open(void) {
    serial_open(SERIAL_COM2);
}

static void put(const char *text) {
    while (*text && length < RECORD_SIZE - CLOSERS) {
        record[length++] = *text++;
    }
}

static void put_quoted(const char *text) {
    put("\"");
    for (; *text; text++) {
        char escaped[8] = {*text};
        if (*text == '"' || *text == '\\') {
            format(escaped, sizeof escaped, "\\%c", *text);
        } else if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f) {
            format(escaped, sizeof escaped, "\\u%04x", (unsigned char)*text);
        }
        put(escaped);
    }
    put("\"");
}

static void put_key(const char *key) {
    if (!first_member) {
        put(",");
    }
    first_member = false;
    if (key) {
        put_quoted(key);
        put(":");
    }
}

void record_begin(const char *kind) {
    length = 0;
    depth = 0;
    first_member = true;
    put("{");
    record_number("seq", sequence);
    record_text("kind", kind);
    if (sequence == 0) {
        record_text("build", image_build_id());
    }
    sequence++;
}

void record_end(void) {
    if (depth || length >= RECORD_SIZE - CLOSERS) {
        panic("a record was left open or outgrew %d bytes", RECORD_SIZE);
    }
    put("}\n");
    serial_write(SERIAL_COM2, record, length);
}

void record_text(const char *key, const char *value) {
    put_key(key);
    if (value) {
        put_quoted(value);
    } else {
        put("null");
    }
}

void record_number(const char *key, uint64_t value) {
    char digits[24];
    format(digits, sizeof digits, "%lu", value);
    put_key(key);
    put(digits);
}

void record_hex(const char *key, uint64_t value) {
    char digits[24];
    format(digits, sizeof digits, "\"0x%lx\"", value);
    put_key(key);
    put(digits);
}

void record_flag(const char *key, bool value) {
    put_key(key);
    put(value ? "true" : "false");
}

static void open(const char *key, const char *opener, char closer) {
    put_key(key);
    put(opener);
    if (depth == MAX_DEPTH) {
        panic("records nest at most %d deep", MAX_DEPTH);
    }
    closers[depth++] = closer;
    first_member = true;
}

void record_open(const char *key) {
    open(key, "{", '}');
}

void record_open_list(const char *key) {
    open(key, "[", ']');
}

void record_close(void) {
    if (!depth) {
        panic("record_close without record_open");
    }
    char closer[2] = {closers[--depth]};
    put(closer);
    first_member = false;
}
