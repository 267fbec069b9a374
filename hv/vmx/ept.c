#include "vmx/ept.h"

#include <assert.h>
#include <stddef.h>

#include "core/pages.h"
#include "core/panic.h"
#include "vmx/controls.h"
#include "vmx/instructions.h"
#include "vmx/operation.h"

/* Entry bits, SDM 3C, tables 29-1 to 29-7. */
#define EPT_READ       (1ull << 0)
#define EPT_WRITE      (1ull << 1)
#define EPT_EXECUTE    (1ull << 2)
#define EPT_ALL        (EPT_READ | EPT_WRITE | EPT_EXECUTE)
#define EPT_TYPE_SHIFT 3
#define EPT_LARGE      (1ull << 7)
#define EPT_ADDRESS    0x000ffffffffff000ull

enum memory_type { UNCACHEABLE = 0, WRITE_BACK = 6 }; /* SDM 3A 12.11.2 */

enum { LEVELS = 4, ENTRIES = 512, INDEX_BITS = 9, PAGE_SHIFT = 12 };
static_assert(ENTRIES * sizeof(uint64_t) == PAGE_SIZE, "a table fills one page");

struct guest_map {
    uint64_t *root; /* the PML4 table */
};

/* How much address space an entry at this level covers: 4K at level 1, 2M, 1G, 512G. */
static uint64_t span(int level) {
    return 1ull << (PAGE_SHIFT + INDEX_BITS * (level - 1));
}

static bool large_pages_at(int level) {
    uint64_t capability = level == 3 ? EPT_CAP_1G_PAGES : level == 2 ? EPT_CAP_2M_PAGES : 0;
    return vmx_capabilities.ept_vpid & capability;
}

struct guest_map *ept_create(void) {
    uint64_t *root = pages_allocate(1, 1);
    struct guest_map *map = root ? pages_allocate(1, 1) : NULL;
    if (!map) {
        if (root) {
            pages_free(root, 1);
        }
        return NULL;
    }
    map->root = root;
    return map;
}

static bool add_page(uint64_t *root, uint64_t guest, uint64_t host, int page_level) {
    uint64_t *table = root;
    for (int level = LEVELS; level > page_level; level--) {
        uint64_t *entry = &table[guest / span(level) % ENTRIES];
        if (!(*entry & EPT_ALL)) {
            void *below = pages_allocate(1, 1);
            if (!below) {
                return false;
            }
            *entry = (uint64_t)below | EPT_ALL;
        }
        table = (uint64_t *)(*entry & EPT_ADDRESS);
    }
    uint64_t *entry = &table[guest / span(page_level) % ENTRIES];
    if (*entry) {
        panic("guest-physical 0x%lx is mapped already", guest);
    }
    *entry =
        host | EPT_ALL | (uint64_t)WRITE_BACK << EPT_TYPE_SHIFT | (page_level > 1 ? EPT_LARGE : 0);
    return true;
}

bool ept_add(struct guest_map *map, uint64_t guest, uint64_t host, uint64_t bytes) {
    while (bytes) {
        int level = 3; /* the largest page that both addresses are aligned to and that still fits */
        while (level > 1 &&
               (!large_pages_at(level) || (guest | host) % span(level) || bytes < span(level))) {
            level--;
        }
        if (!add_page(map->root, guest, host, level)) {
            return false;
        }
        guest += span(level);
        host += span(level);
        bytes -= span(level);
    }
    return true;
}

static void free_table(uint64_t *table, int level) {
    for (unsigned i = 0; i < ENTRIES && level > 1; i++) {
        if (table[i] & EPT_ALL && !(table[i] & EPT_LARGE)) {
            free_table((uint64_t *)(table[i] & EPT_ADDRESS), level - 1);
        }
    }
    pages_free(table, 1);
}

void ept_destroy(struct guest_map *map) {
    /* These tables' pages will be used again, perhaps as tables: no cached translation may outlive
     * them (29.4.3.3). */
    uint64_t capabilities = vmx_capabilities.ept_vpid;
    if (capabilities & EPT_CAP_INVEPT) {
        bool single = capabilities & EPT_CAP_INVEPT_SINGLE;
        if (invept(single ? INVEPT_SINGLE_CONTEXT : INVEPT_ALL_CONTEXTS, ept_pointer(map)) !=
            VMX_SUCCEED) {
            panic("INVEPT failed");
        }
    }
    free_table(map->root, LEVELS);
    pages_free(map, 1);
}

uint64_t ept_pointer(const struct guest_map *map) {
    enum memory_type type =
        vmx_capabilities.ept_vpid & EPT_CAP_WRITE_BACK ? WRITE_BACK : UNCACHEABLE;
    return (uint64_t)map->root | (LEVELS - 1) << 3 | (uint64_t)type;
}
