/* `key=value` words: the grammar of our command line and of module strings (design contract 1). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A value may be a Linux command line, of 2047 characters at most. */
enum { WORD_KEY_SIZE = 64, WORD_SIZE = 2048 };

struct word {
    char key[WORD_KEY_SIZE]; /* the whole word where there is no '=' */
    char value[WORD_SIZE];   /* without its quotes */
    bool has_value;
};

enum word_result { WORD_NONE, WORD_OK, WORD_TOO_LONG, WORD_UNTERMINATED };

/* Takes the next word from *text and moves *text behind it. "..." in a value may hold spaces; within
 * it \" and \\ stand for a quote and a backslash. */
enum word_result word_next(const char **text, struct word *word);

/* "64M" and the like: decimal or 0x digits and one of K, M, G (powers of 1024) or none. */
bool word_size(const char *value, uint64_t *bytes);

/* The arguments in a loader's string. QEMU and old GRUBs put the file's path before them. */
const char *boot_arguments(const char *string);
