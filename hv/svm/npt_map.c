#include <assert.h>
#include <stddef.h>

#include "core/pages.h"
#include "core/panic.h"
#include "cpu/cpuid.h"
#include "svm/npt.h"

static_assert(sizeof(struct guest_map) <= PAGE_SIZE, "a map is allocated as one page");

/* Nested walks use the hypervisor's kind of paging (15.25.3): its page sizes are NPT's. */
static bool has_1g_pages(void) {
    return cpuid(0x80000001, 0).edx & CPUID_80000001_EDX_PAGE_1G;
}

struct guest_map *npt_create(uint64_t page_size) {
    struct guest_map *map = pages_allocate(1, 1);
    if (map && !npt_start(&map->nested, has_1g_pages(), cpuid(0x80000008, 0).eax & 0xff)) {
        pages_free(map, 1);
        return NULL;
    }
    if (map) {
        nested_limit_pages(&map->nested, page_size);
    }
    return map;
}

bool npt_add(struct guest_map *map, uint64_t guest, uint64_t host, uint64_t bytes) {
    enum nested_result result = nested_map(&map->nested, guest, host, bytes, NESTED_RWX, MEMORY_WB);
    if (result != NESTED_OK && result != NESTED_NO_MEMORY) {
        panic("guest memory at 0x%lx, 0x%lx bytes: %s", guest, bytes, nested_result_text(result));
    }
    return result == NESTED_OK;
}

/* What is cached of these tables is so under an ASID that no other guest gets without a flush (asid.h). */
void npt_destroy(struct guest_map *map) {
    nested_stop(&map->nested);
    pages_free(map, 1);
}
