#include "core/string.h"

bool text_equal(const char *a, const char *b) {
    while (*a && *a == *b) {
        a++, b++;
    }
    return *a == *b;
}

bool text_copy(char *to, size_t size, const char *from) {
    size_t length = strlen(from);
    bool fits = length < size;
    if (!fits) {
        length = size - 1;
    }
    memcpy(to, from, length);
    to[length] = '\0';
    return fits;
}
