/* What real systems compute sums over, and what these must come to. A guest whose memory somebody
 * else wrote to, or whose registers somebody mixed up, gets another sum. */
#pragma once

#include <stdint.h>

enum { PATTERN_SIZE = 64 << 10 };

/* SHA-256: 5fce37f3129150ce7ec3939b54016d9c1fd01364e27b0a788dc634064aec76b1; CRC-32: df6fd768. */
static inline void fill_with_pattern(uint8_t pattern[static PATTERN_SIZE]) {
    for (uint32_t i = 0; i < PATTERN_SIZE; i++) {
        pattern[i] = (uint8_t)(i * 7 + (i >> 8));
    }
}
