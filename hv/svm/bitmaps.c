#include "svm/bitmaps.h"

#include "core/pages.h"
#include "core/panic.h"
#include "core/string.h"
#include "svm/msr_map.h"
#include "vm/msr.h"

/* 12 and 8 KiB, contiguous */
enum { IOPM_PAGES = 3, MSRPM_PAGES = 2 };
static_assert(MSRPM_PAGES * PAGE_SIZE == MSR_MAP_SIZE, "APM 2 15.11");

static uint8_t *msrpm, *iopm;

void svm_bitmaps_start(void) {
    msrpm = pages_allocate(MSRPM_PAGES, 1);
    iopm = pages_allocate(IOPM_PAGES, 1);
    if (!msrpm || !iopm) {
        panic("out of memory");
    }
    msr_map_fill(msrpm, msr_rules, msr_rule_count);
    memset(iopm, 0xff, IOPM_PAGES * PAGE_SIZE); /* no port is a guest's own */
}

void svm_bitmaps_stop(void) {
    pages_free(msrpm, MSRPM_PAGES);
    pages_free(iopm, IOPM_PAGES);
}

uint64_t svm_bitmaps_io(void) {
    return (uint64_t)iopm;
}

uint64_t svm_bitmaps_msr(void) {
    return (uint64_t)msrpm;
}
