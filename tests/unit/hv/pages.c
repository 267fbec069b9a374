/* The page allocator on memory of this process, which boot_info describes as a machine's. */
#include "core/pages.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "check.h"
#include "core/boot_info.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0
#endif

/* The image lies where test_hv_memory.py tells the linker: at MEMORY + 1 MiB, 64 KiB long. */
#define MEMORY      0x20000000ull
#define IMAGE       0x20100000ull
#define IMAGE_BYTES 0x10000ull
#define MIB         (1ull << 20)

enum { PAGES = 1024 };

struct boot_info boot_info;

static bool taken[PAGES]; /* what the allocator may not give away, or has given away */

static uint64_t page_of(const void *address) {
    return ((uint64_t)address - MEMORY) / PAGE_SIZE;
}

static void take(uint64_t start, uint64_t end) {
    for (uint64_t page = (start - MEMORY) / PAGE_SIZE; page * PAGE_SIZE + MEMORY < end; page++) {
        taken[page] = true;
    }
}

static void add_region(uint64_t start, uint64_t end) {
    boot_info.memory[boot_info.memory_count++] = (struct memory_region){start, end};
}

static void add_module(uint64_t start, uint64_t end) {
    struct boot_module *module = &boot_info.modules[boot_info.module_count++];
    module->start = start;
    module->end = end;
    take(start, end);
}

static void map_memory(void) {
    if (mmap((void *)MEMORY, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)MEMORY) {
        perror("mmap");
        exit(4);
    }
    memset((void *)MEMORY, 0xee, PAGES * PAGE_SIZE); /* what a machine's memory is like */
    take(IMAGE, IMAGE + IMAGE_BYTES);
}

static uint64_t free_pages(void) {
    uint64_t count = 0;
    for (unsigned i = 0; i < PAGES; i++) {
        count += !taken[i];
    }
    return count;
}

/* 4 MiB of memory, all in one region. */
static void start_simply(void) {
    map_memory();
    add_region(MEMORY, MEMORY + PAGES * PAGE_SIZE);
    pages_start();
}

/* The bitmap's place is the allocator's own choice: found by taking all there is, page by page. */
static void find_bitmap(void) {
    static void *pages[PAGES];
    unsigned count = 0;
    bool given[PAGES] = {0};
    while ((pages[count] = pages_allocate(1, 1))) {
        uint64_t page = page_of(pages[count]);
        expect(page < PAGES);
        expect(!given[page] && !taken[page]);
        given[page] = true;
        count++;
    }
    expect_equal(pages_available(), 0);
    for (unsigned i = 0; i < PAGES; i++) {
        taken[i] |= !given[i];
    }
    while (count) {
        pages_free(pages[--count], 1);
    }
    expect_equal(pages_available(), free_pages());
}

void check_image_modules_and_bitmap_are_not_given_away(void) {
    map_memory();
    add_region(MEMORY, MEMORY + PAGES * PAGE_SIZE);
    add_module(MEMORY + 2 * MIB + 5, MEMORY + 2 * MIB + 7);  /* within one page */
    add_module(MEMORY + 3 * MIB - 1, MEMORY + 3 * MIB + 1);  /* parts of two */
    add_module(MEMORY + 3 * MIB + 0x8000, MEMORY + 4 * MIB); /* up to the very end */
    pages_start();
    uint64_t before = free_pages();
    find_bitmap();
    uint64_t bitmap_pages = before - free_pages();
    expect_equal(bitmap_pages, (((MEMORY >> 12) + PAGES) / 64 * 8 + 8 + 4095) / 4096);
    for (uint64_t at = MEMORY + 2 * MIB; at < MEMORY + 2 * MIB + PAGE_SIZE; at++) {
        expect_equal(*(uint8_t *)at, 0xee);
    }
}

void check_the_bitmap_finds_a_place_between_modules(void) {
    map_memory();
    add_region(MEMORY, MEMORY + 2 * PAGE_SIZE);           /* too small */
    add_region(MEMORY + MIB, MEMORY + PAGES * PAGE_SIZE); /* the image first */
    add_module(IMAGE + IMAGE_BYTES, IMAGE + IMAGE_BYTES + 100);
    add_module(IMAGE + IMAGE_BYTES + 2 * PAGE_SIZE, IMAGE + IMAGE_BYTES + 9 * PAGE_SIZE);
    take(MEMORY + 2 * PAGE_SIZE, MEMORY + MIB);
    pages_start();
    find_bitmap();
}

void check_only_memory_in_the_map_is_given_away(void) {
    map_memory();
    add_region(MEMORY + 63 * PAGE_SIZE, MEMORY + 65 * PAGE_SIZE);
    add_region(MEMORY + 128 * PAGE_SIZE, MEMORY + 192 * PAGE_SIZE);
    add_region(MEMORY + 512 * PAGE_SIZE, MEMORY + 513 * PAGE_SIZE);
    add_region(MEMORY + 700 * PAGE_SIZE, MEMORY + 701 * PAGE_SIZE);
    add_region(1ull << 40, 1ull << 41); /* beyond what is used */
    memset(taken, true, sizeof taken);
    memset(taken + 63, false, 2);
    memset(taken + 128, false, 64);
    taken[512] = taken[700] = false;
    /* page_limit is 4 GiB now: the bitmap has 128 KiB and lies in the second region */
    pages_start();
    find_bitmap();
    expect_equal(free_pages(), 2 + 64 + 2 - 33);
    expect(!taken[63] && !taken[64] && !taken[512] && !taken[700]);
}

static void start_without_room(void) {
    map_memory();
    add_region(MEMORY, MEMORY + PAGE_SIZE);
    pages_start();
}

void check_memory_without_room_for_the_bitmap_is_refused(void) {
    expect(panics(start_without_room));
}

static void start_with_low_memory_only(void) {
    add_region(0, 0xa0000);
    pages_start();
}

void check_low_memory_is_not_counted_as_available(void) {
    map_memory();
    add_region(0, 0xa0000);
    add_region(MEMORY, MEMORY + PAGES * PAGE_SIZE);
    pages_start();
    find_bitmap();
}

void check_the_first_mib_is_never_used(void) {
    expect(panics(start_with_low_memory_only));
}

void check_pages_come_zeroed_and_aligned(void) {
    start_simply();
    for (uint64_t alignment = 1; alignment <= 256; alignment *= 2) {
        uint8_t *start = pages_allocate(3, alignment);
        expect(start);
        expect_equal((uint64_t)start / PAGE_SIZE % alignment, 0);
        for (unsigned i = 0; i < 3 * PAGE_SIZE; i++) {
            expect_equal(start[i], 0);
        }
        memset(start, 0xaa, 3 * PAGE_SIZE);
        pages_free(start, 3);
        expect_equal(*(uint8_t *)page_allocate(), 0); /* most likely the same page again */
    }
}

void check_requests_that_can_not_be_met_give_nothing(void) {
    start_simply();
    uint64_t before = pages_available();
    expect(!pages_allocate(PAGES, 1));
    expect(!pages_allocate(before + 1, 1));
    expect(!pages_allocate(1ull << 52, 1));
    expect(!pages_allocate(UINT64_MAX, 1));
    expect(!pages_allocate(1ull << 63, 1));
    expect(!pages_allocate(UINT64_MAX - 255, 1));
    expect(!pages_allocate(1, 1ull << 40));
    expect(!pages_allocate(1, 1ull << 63));
    expect(!pages_allocate(0, 1));
    expect_equal(pages_available(), before);
}

static void *twice;

static void free_twice(void) {
    pages_free(twice, 1);
}

static void free_in_the_middle(void) {
    pages_free((char *)twice + 1, 1);
}

static void free_too_many(void) {
    pages_free(twice, 2);
}

static void free_foreign(void) {
    pages_free((void *)(1ull << 45), 1);
}

static void free_endlessly(void) {
    pages_free(twice, UINT64_MAX);
}

static void allocate_unaligned(void) {
    pages_allocate(1, 3);
}

static void allocate_with_no_alignment(void) {
    pages_allocate(1, 0);
}

void check_freeing_what_is_not_allocated_panics(void) {
    start_simply();
    twice = pages_allocate(1, 1);
    expect(panics(free_in_the_middle));
    expect(panics(free_too_many));
    expect(panics(free_foreign));
    expect(panics(free_endlessly));
    expect(!panics(free_twice));
    expect(panics(free_twice));
    find_bitmap();
}

void check_an_alignment_that_is_no_power_of_two_panics(void) {
    start_simply();
    expect(panics(allocate_unaligned));
    expect(panics(allocate_with_no_alignment));
}

static void allocate_one(void) {
    page_allocate();
}

void check_a_page_that_can_not_be_done_without_panics_when_memory_is_out(void) {
    start_simply();
    while (pages_allocate(1, 1)) {
    }
    expect(panics(allocate_one));
}

/* Where the first fit is, as the simplest program would look for it. */
static uint64_t model_find(uint64_t count, uint64_t alignment) {
    for (uint64_t page = 0; page + count <= PAGES; page++) {
        bool fits = ((MEMORY / PAGE_SIZE) + page) % alignment == 0;
        for (uint64_t i = page; fits && i < page + count; i++) {
            fits = !taken[i];
        }
        if (fits) {
            return page;
        }
    }
    return PAGES;
}

void check_runs_across_words_of_the_bitmap_match_a_model(void) {
    start_simply();
    find_bitmap();
    /* Behind 0 to 129 pages that are taken, so that runs begin at every bit of a word. */
    static const uint64_t counts[] = {1, 2, 31, 62, 63, 64, 65, 66, 127, 128, 129, 192};
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        for (uint64_t skip = 0; skip < 130; skip++) {
            void *first = skip ? pages_allocate(skip, 1) : NULL;
            if (first) {
                memset(taken + page_of(first), true, skip);
            }
            uint8_t *run = pages_allocate(counts[i], 1);
            expect_equal(run ? page_of(run) : PAGES, model_find(counts[i], 1));
            if (run) {
                memset(run, 0xcc, counts[i] * PAGE_SIZE);
                pages_free(run, counts[i]);
            }
            if (first) {
                pages_free(first, skip);
                memset(taken + page_of(first), false, skip);
            }
            expect_equal(pages_available(), free_pages());
        }
    }
}

void check_random_allocations_match_a_model(void) {
    static struct {
        uint8_t *start;
        uint64_t count;
    } held[64];
    start_simply();
    find_bitmap();
    for (int i = 0; i < 6000; i++) {
        unsigned slot = (unsigned)random_below(64);
        if (held[slot].start) {
            uint64_t part = random_below(held[slot].count + 1); /* in two parts: that is legal */
            uint64_t rest = held[slot].count - part;
            if (part) {
                pages_free(held[slot].start, part);
            }
            if (rest) {
                pages_free(held[slot].start + part * PAGE_SIZE, rest);
            }
            memset(taken + page_of(held[slot].start), false, held[slot].count);
            held[slot].start = NULL;
        } else {
            uint64_t count = 1 + random_below(random_below(4) ? 12 : 140);
            uint64_t alignment = 1ull << random_below(random_below(3) ? 1 : 9);
            held[slot].start = pages_allocate(count, alignment);
            held[slot].count = count;
            uint64_t wanted = model_find(count, alignment);
            expect_equal(held[slot].start ? page_of(held[slot].start) : PAGES, wanted);
            if (held[slot].start) {
                memset(taken + wanted, true, count);
                expect_equal(held[slot].start[count * PAGE_SIZE - 1], 0);
                memset(held[slot].start, 0x55, count * PAGE_SIZE);
            }
        }
        expect_equal(pages_available(), free_pages());
    }
}
