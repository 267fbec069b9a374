/* The memory and string functions that freestanding C needs; GCC calls the first four by itself. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
int memcmp(const void *a, const void *b, size_t count);
size_t strlen(const char *text);
bool text_equal(const char *a, const char *b);

/* Copies at most size - 1 bytes and always terminates; false if the text did not fit. */
bool text_copy(char *to, size_t size, const char *from);
