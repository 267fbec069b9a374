/* SHA-256 (FIPS 180-4), for data whose size is a multiple of 64 bytes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

void sha256(const uint8_t *data, size_t size, uint32_t digest[static 8]);
