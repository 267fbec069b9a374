#include "stand_in_pages.h"

#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "check.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0
#endif

static uint8_t *const arena = (uint8_t *)STAND_IN_PAGES_START;
static bool is_live[STAND_IN_PAGES];
static uint32_t free_pages[STAND_IN_PAGES];
static uint64_t free_count, allocations_left = UINT64_MAX;

static void start(void) {
    uint64_t bytes = (uint64_t)STAND_IN_PAGES * PAGE_SIZE;
    if (mmap(arena, bytes, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != arena) {
        perror("mmap of the arena");
        exit(4);
    }
    ASAN_POISON_MEMORY_REGION(arena, bytes);
    for (uint32_t i = 0; i < STAND_IN_PAGES; i++) { /* in no order that anything could rely on */
        free_pages[i] = i * 4099 % STAND_IN_PAGES;
    }
    free_count = STAND_IN_PAGES;
}

uint64_t stand_in_pages_live(void) {
    static bool started;
    if (!started) {
        start();
        started = true;
    }
    return STAND_IN_PAGES - free_count;
}

void stand_in_pages_fail_after(uint64_t count) {
    allocations_left = count;
}

void *pages_allocate(uint64_t count, uint64_t alignment) {
    expect(count == 1 && alignment == 1);
    stand_in_pages_live();
    if (!free_count || !allocations_left) {
        return NULL;
    }
    if (allocations_left != UINT64_MAX) {
        allocations_left--;
    }
    uint32_t page = free_pages[--free_count];
    is_live[page] = true;
    uint8_t *start = arena + (uint64_t)page * PAGE_SIZE;
    ASAN_UNPOISON_MEMORY_REGION(start, PAGE_SIZE);
    return memset(start, 0, PAGE_SIZE);
}

void pages_free(void *start, uint64_t count) {
    uint64_t offset = (uint64_t)start - STAND_IN_PAGES_START;
    expect(count == 1 && offset % PAGE_SIZE == 0);
    expect(offset / PAGE_SIZE < STAND_IN_PAGES);
    expect(is_live[offset / PAGE_SIZE]);
    is_live[offset / PAGE_SIZE] = false;
    ASAN_POISON_MEMORY_REGION(start, PAGE_SIZE);
    free_pages[free_count++] = (uint32_t)(offset / PAGE_SIZE);
}
