#include "core/string.h"

#include <stdint.h>

/* Eight bytes at a time, then the rest: a string instruction costs by iterations. */
void *memcpy(void *restrict to, const void *restrict from, size_t count) {
    void *start = to;
    size_t words = count / 8, bytes = count % 8;
    asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
    return start;
}

void *memmove(void *to, const void *from, size_t count) {
    if ((uintptr_t)to - (uintptr_t)from >= count) {
        return memcpy(to, from, count);
    }
    unsigned char *t = (unsigned char *)to + count;
    const unsigned char *f = (const unsigned char *)from + count;
    while (count--) {
        *--t = *--f;
    }
    return to;
}

void *memset(void *to, int value, size_t count) {
    void *start = to;
    size_t words = count / 8, bytes = count % 8;
    uint64_t pattern = (unsigned char)value * 0x0101010101010101ull;
    asm volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(pattern) : "memory");
    asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(pattern) : "memory");
    return start;
}

int memcmp(const void *a, const void *b, size_t count) {
    const unsigned char *x = a, *y = b;
    for (size_t i = 0; i < count; i++) {
        if (x[i] != y[i]) {
            return x[i] - y[i];
        }
    }
    return 0;
}

size_t strlen(const char *text) {
    size_t length = 0;
    while (text[length]) {
        length++;
    }
    return length;
}
