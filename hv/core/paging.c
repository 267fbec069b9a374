#include "core/paging.h"

#include "core/image.h"
#include "core/pages.h"
#include "cpu/control.h"
#include "cpu/descriptors.h"

/* Page-table entry bits, SDM 3A 4.5.4. */
#define ENTRY_PRESENT       (1ull << 0)
#define ENTRY_WRITABLE      (1ull << 1)
#define ENTRY_CACHE_DISABLE (1ull << 4)
#define ENTRY_LARGE         (1ull << 7)
#define ENTRY_NO_EXECUTE    (1ull << 63)
#define ENTRY_ADDRESS       0x000ffffffffff000ull

static const uint64_t SPACE = 4ull << 30; /* what is mapped: the first 4 GiB */
static const uint64_t LARGE_PAGE = 2ull << 20;

extern const char boot_stack_guard[]; /* start.S */

static uint64_t *table_below(uint64_t *entry) {
    if (!(*entry & ENTRY_PRESENT)) {
        *entry = (uint64_t)page_allocate() | ENTRY_PRESENT | ENTRY_WRITABLE;
    }
    return (uint64_t *)(*entry & ENTRY_ADDRESS);
}

bool paging_is_stack_guard(uint64_t address) {
    uint64_t page = address & ~(uint64_t)(PAGE_SIZE - 1);
    return page == (uint64_t)boot_stack_guard || descriptors_is_stack_guard(page);
}

static uint64_t page_permissions(uint64_t address) {
    if (address == 0 || paging_is_stack_guard(address)) {
        return 0;
    }
    if (address >= (uint64_t)image_start && address < (uint64_t)image_text_end) {
        return ENTRY_PRESENT;
    }
    if (address >= (uint64_t)image_text_end && address < (uint64_t)image_rodata_end) {
        return ENTRY_PRESENT | ENTRY_NO_EXECUTE;
    }
    return ENTRY_PRESENT | ENTRY_WRITABLE | ENTRY_NO_EXECUTE;
}

static void map_small_pages(uint64_t *directory_entry, uint64_t start) {
    uint64_t *table = table_below(directory_entry);
    for (unsigned i = 0; i < 512; i++) {
        uint64_t address = start + i * (uint64_t)PAGE_SIZE;
        uint64_t permissions = page_permissions(address);
        table[i] = permissions ? address | permissions : 0;
    }
}

void paging_start(void) {
    uint64_t *pml4 = page_allocate();
    uint64_t *pdpt = table_below(&pml4[0]);
    for (uint64_t address = 0; address < SPACE; address += LARGE_PAGE) {
        uint64_t *directory = table_below(&pdpt[address >> 30]);
        uint64_t *entry = &directory[address >> 21 & 511];
        /* Only where the image or page 0 lies do permissions change from page to page. */
        if (address < (uint64_t)image_end) {
            map_small_pages(entry, address);
        } else {
            *entry = address | ENTRY_LARGE | ENTRY_PRESENT | ENTRY_WRITABLE | ENTRY_NO_EXECUTE;
        }
    }
    write_cr3((uint64_t)pml4);
}
