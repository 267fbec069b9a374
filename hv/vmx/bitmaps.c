#include "vmx/bitmaps.h"

#include "core/pages.h"
#include "core/string.h"
#include "vm/msr.h"
#include "vmx/msr_bitmap.h"

static uint8_t *msr_bitmap, *io_bitmap;

void bitmaps_start(void) {
    msr_bitmap = page_allocate();
    msr_bitmap_fill(msr_bitmap, msr_rules, msr_rule_count);
    /* No port is a guest's own: all of them exit, 25.6.4. */
    io_bitmap = page_allocate();
    memset(io_bitmap, 0xff, PAGE_SIZE);
}

void bitmaps_stop(void) {
    pages_free(msr_bitmap, 1);
    pages_free(io_bitmap, 1);
}

uint64_t bitmaps_msr(void) {
    return (uint64_t)msr_bitmap;
}

/* The same page serves for both halves, since all of its bits are set. */
uint64_t bitmaps_io_a(void) {
    return (uint64_t)io_bitmap;
}

uint64_t bitmaps_io_b(void) {
    return (uint64_t)io_bitmap;
}
