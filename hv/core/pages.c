/* A bitmap with one bit a page, set where the page is free. */
#include "core/pages.h"

#include <stdbool.h>
#include <stddef.h>

#include "core/boot_info.h"
#include "core/image.h"
#include "core/panic.h"
#include "core/refuse.h"
#include "core/string.h"

/* Boot loaders, firmware and application processors keep things in the first MiB: leave it alone. */
static const uint64_t LOWEST = 0x100000;

/* The boot page tables, and with them paging.c's first look at memory, reach this far. */
static const uint64_t HIGHEST = 4ull << 30;

static uint64_t *bitmap;
static uint64_t page_limit; /* pages below this number have a bit */
static uint64_t available;

static bool is_free(uint64_t page) {
    return bitmap[page / 64] >> page % 64 & 1;
}

/* Marks the pages that [start, end) touches, a word of the bitmap at a time. */
static void set_range(uint64_t start, uint64_t end, bool free) {
    uint64_t last = (end + PAGE_SIZE - 1) / PAGE_SIZE;
    if (last > page_limit) {
        last = page_limit;
    }
    for (uint64_t page = start / PAGE_SIZE; page < last;) {
        uint64_t in_word = 64 - page % 64;
        if (in_word > last - page) {
            in_word = last - page;
        }
        uint64_t mask = (in_word == 64 ? ~0ull : (1ull << in_word) - 1) << page % 64;
        uint64_t *word = &bitmap[page / 64];
        uint64_t changed = (free ? ~*word : *word) & mask;
        *word ^= changed;
        for (; changed; changed &= changed - 1) {
            available += free ? 1 : -1ull;
        }
        page += in_word;
    }
}

static bool overlaps(uint64_t start, uint64_t end, uint64_t other_start, uint64_t other_end) {
    return start < other_end && other_start < end;
}

/* The bitmap itself goes to the first place in RAM that nothing else occupies. */
static uint64_t place_bitmap(uint64_t bytes) {
    for (unsigned i = 0; i < boot_info.memory_count; i++) {
        uint64_t start = boot_info.memory[i].start;
        if (start < LOWEST) {
            start = LOWEST;
        }
        bool moved = true;
        while (moved) {
            moved = false;
            if (overlaps(start, start + bytes, (uint64_t)image_start, (uint64_t)image_end)) {
                start = (uint64_t)image_end;
                moved = true;
            }
            for (unsigned m = 0; m < boot_info.module_count; m++) {
                const struct boot_module *module = &boot_info.modules[m];
                if (overlaps(start, start + bytes, module->start, module->end)) {
                    start = (module->end + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1);
                    moved = true;
                }
            }
        }
        if (start + bytes <= boot_info.memory[i].end && start + bytes <= HIGHEST) {
            return start;
        }
    }
    refuse("no-memory", "there is no room for the page allocator's %lu bytes", bytes);
}

void pages_start(void) {
    uint64_t top = 0;
    for (unsigned i = 0; i < boot_info.memory_count; i++) {
        if (boot_info.memory[i].end > top) {
            top = boot_info.memory[i].end;
        }
    }
    page_limit = (top < HIGHEST ? top : HIGHEST) / PAGE_SIZE;
    uint64_t bytes = (page_limit / 64 + 1) * sizeof *bitmap;
    uint64_t place = place_bitmap(bytes);
    bitmap = (uint64_t *)place;
    memset(bitmap, 0, bytes);

    for (unsigned i = 0; i < boot_info.memory_count; i++) {
        set_range(boot_info.memory[i].start, boot_info.memory[i].end, true);
    }
    set_range(0, LOWEST, false);
    set_range((uint64_t)image_start, (uint64_t)image_end, false);
    set_range(place, place + bytes, false);
    for (unsigned m = 0; m < boot_info.module_count; m++) {
        set_range(boot_info.modules[m].start, boot_info.modules[m].end, false);
    }
}

void *pages_allocate(uint64_t count, uint64_t alignment) {
    if (!alignment || alignment & (alignment - 1)) {
        panic("pages can't be aligned to %lu", alignment);
    }
    if (!count || count > page_limit) {
        return NULL;
    }
    uint64_t first = LOWEST / PAGE_SIZE;
    while (first <= page_limit - count) {
        uint64_t aligned = (first + alignment - 1) & ~(alignment - 1);
        uint64_t run = 0;
        while (run < count && aligned + run < page_limit && is_free(aligned + run)) {
            run++;
        }
        if (run == count) {
            set_range(aligned * PAGE_SIZE, (aligned + count) * PAGE_SIZE, false);
            return memset((void *)(aligned * PAGE_SIZE), 0, count * PAGE_SIZE);
        }
        first = aligned + run + 1;
        /* Skip full words quickly: most of what is taken is taken in long runs. */
        while (first % 64 == 0 && first < page_limit && !bitmap[first / 64]) {
            first += 64;
        }
    }
    return NULL;
}

void pages_free(void *start, uint64_t count) {
    uint64_t address = (uint64_t)start;
    if (address % PAGE_SIZE || count > page_limit) {
        panic("0x%lx pages at 0x%lx can't be freed: they were never allocated", count, address);
    }
    for (uint64_t page = address / PAGE_SIZE; page < address / PAGE_SIZE + count; page++) {
        if (page >= page_limit || is_free(page)) {
            panic("page 0x%lx was freed twice or never allocated", page * PAGE_SIZE);
        }
    }
    set_range(address, address + count * PAGE_SIZE, true);
}

uint64_t pages_available(void) {
    return available;
}

void *page_allocate(void) {
    void *page = pages_allocate(1, 1);
    if (!page) {
        panic("out of memory");
    }
    return page;
}
