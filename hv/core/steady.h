/* A measurement that something else can disturb, made until it can be believed. */
#pragma once

#include <stdint.h>

/* The first of two values in succession that differ by less than a 128th; the smaller one of the last
 * two where none did so in STEADY_ATTEMPTS. 0 at once if `measure` gives that: it can't tell. */
enum { STEADY_ATTEMPTS = 20 };
uint64_t steady(uint64_t (*measure)(void));
