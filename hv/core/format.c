#include "core/format.h"

#include <stdbool.h>
#include <stdint.h>

struct output {
    char *to;
    size_t size, length;
};

static void put(struct output *output, char c) {
    if (output->length + 1 < output->size) {
        output->to[output->length++] = c;
    }
}

static void put_padding(struct output *output, char c, int count) {
    while (count-- > 0) {
        put(output, c);
    }
}

static void put_number(struct output *output, uint64_t value, bool negative, unsigned base,
                       int width, bool zeros) {
    char digits[20];
    int count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    int padding = width - count - negative;
    if (!zeros) {
        put_padding(output, ' ', padding);
    }
    if (negative) {
        put(output, '-');
    }
    if (zeros) {
        put_padding(output, '0', padding);
    }
    while (count) {
        put(output, digits[--count]);
    }
}

static void put_text(struct output *output, const char *text, int width, int limit) {
    int length = 0;
    while (length != limit && text[length]) {
        length++;
    }
    put_padding(output, ' ', width - length);
    for (int i = 0; i < length; i++) {
        put(output, text[i]);
    }
}

size_t format_list(char *to, size_t size, const char *format, va_list arguments) {
    struct output output = {.to = to, .size = size};
    while (*format) {
        if (*format != '%') {
            put(&output, *format++);
            continue;
        }
        const char *directive = format++;
        bool zeros = *format == '0';
        int width = 0, limit = -1;
        while (*format >= '0' && *format <= '9') {
            width = width * 10 + (*format++ - '0');
        }
        if (format[0] == '.' && format[1] == '*') {
            limit = va_arg(arguments, int);
            format += 2;
        }
        bool is_long = *format == 'l' || *format == 'z';
        format += is_long;
        switch (*format++) {
        case '%': put(&output, '%'); break;
        case 'c': put(&output, (char)va_arg(arguments, int)); break;
        case 's': put_text(&output, va_arg(arguments, const char *), width, limit); break;
        case 'd': {
            int64_t value = is_long ? va_arg(arguments, int64_t) : va_arg(arguments, int);
            uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
            put_number(&output, magnitude, value < 0, 10, width, zeros);
            break;
        }
        case 'u':
        case 'x': {
            uint64_t value = is_long ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned);
            put_number(&output, value, false, format[-1] == 'x' ? 16 : 10, width, zeros);
            break;
        }
        default: /* a mistake in our own code: show it instead of guessing */
            format = directive + 1;
            put(&output, '%');
        }
    }
    if (size) {
        to[output.length] = '\0';
    }
    return output.length;
}

size_t format(char *to, size_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t length = format_list(to, size, format, arguments);
    va_end(arguments);
    return length;
}
