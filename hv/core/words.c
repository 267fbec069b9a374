#include "core/words.h"

#include <stddef.h>

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

enum word_result word_next(const char **text, struct word *word) {
    const char *at = *text;
    while (is_space(*at)) {
        at++;
    }
    if (!*at) {
        *text = at;
        return WORD_NONE;
    }
    char *to = word->key;
    size_t length = 0, size = sizeof word->key;
    bool quoted = false, too_long = false;
    word->has_value = false;
    word->value[0] = '\0';
    for (; *at && (quoted || !is_space(*at)); at++) {
        if (*at == '"') {
            quoted = !quoted;
            continue;
        }
        if (*at == '=' && !word->has_value && !quoted) {
            to[length] = '\0';
            to = word->value;
            length = 0;
            size = sizeof word->value;
            word->has_value = true;
            continue;
        }
        if (quoted && *at == '\\' && (at[1] == '"' || at[1] == '\\')) {
            at++;
        }
        if (length < size - 1) {
            to[length++] = *at;
        } else {
            too_long = true;
        }
    }
    to[length] = '\0';
    *text = at;
    return quoted ? WORD_UNTERMINATED : too_long ? WORD_TOO_LONG : WORD_OK;
}

static int digit_of(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

bool word_size(const char *value, uint64_t *bytes) {
    unsigned base = 10;
    if (value[0] == '0' && (value[1] == 'x' || value[1] == 'X')) {
        base = 16;
        value += 2;
    }
    uint64_t number = 0;
    const char *start = value;
    for (; (unsigned)digit_of(*value) < base; value++) {
        if (__builtin_mul_overflow(number, base, &number) ||
            __builtin_add_overflow(number, (unsigned)digit_of(*value), &number)) {
            return false;
        }
    }
    if (value == start) {
        return false;
    }
    unsigned shift = 0;
    switch (*value) {
    case 'K':
    case 'k': shift = 10; break;
    case 'M':
    case 'm': shift = 20; break;
    case 'G':
    case 'g': shift = 30; break;
    default: break;
    }
    value += shift != 0;
    if (*value || number > UINT64_MAX >> shift) {
        return false;
    }
    *bytes = number << shift;
    return true;
}

const char *boot_arguments(const char *string) {
    while (*string == ' ') {
        string++;
    }
    /* A path is a first word without '=', or with a '/' before it. */
    const char *end = string;
    bool path = true;
    for (; *end && *end != ' '; end++) {
        if (*end == '/') {
            break;
        }
        if (*end == '=') {
            path = false;
            break;
        }
    }
    while (path && *string && *string != ' ') {
        string++;
    }
    return string;
}
