/* The return addresses on a stack, through the frame pointers that the build keeps. */
#pragma once

#include <stdint.h>

/* Adds the list "stack" to the record being built, from this frame pointer outwards. */
void stack_record(uint64_t frame_pointer);
