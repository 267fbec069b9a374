/*
 * A word that whoever boots a guest may write into its image, so that one guest serves for many
 * cases: eight bytes of mark, then the word. tests/boot/guest_images.py does so.
 */
#pragma once

#include <stdint.h>

struct parameter {
    char mark[8];
    union {
        uint64_t value;
        char text[24]; /* ends with a zero */
    };
};

/* Volatile: what the compiler sees here is only the default. */
#define PARAMETER_MARK "<param>"
extern volatile struct parameter parameter;
