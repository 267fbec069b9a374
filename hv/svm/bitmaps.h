/* The permission maps that all guests share: APM 2 15.10.1 (IOPM) and 15.11 (MSRPM). */
#pragma once

#include <stdint.h>

void svm_bitmaps_start(void);
void svm_bitmaps_stop(void);
uint64_t svm_bitmaps_io(void);
uint64_t svm_bitmaps_msr(void);
