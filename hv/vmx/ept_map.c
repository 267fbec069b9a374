#include "vmx/ept.h"

#include <assert.h>
#include <stddef.h>

#include "core/pages.h"
#include "core/panic.h"
#include "vmx/controls.h"
#include "vmx/instructions.h"
#include "vmx/operation.h"

static_assert(sizeof(struct guest_map) <= PAGE_SIZE, "a map is allocated as one page");

/* All processors of one machine have the same MTRRs (SDM 3A 12.11.8): the first one's will do. */
static const struct mtrr_state *mtrrs(void) {
    static struct mtrr_state state;
    if (!state.physical_address_bits) {
        mtrr_read(&state);
    }
    return &state;
}

struct guest_map *ept_create(uint64_t page_size) {
    struct guest_map *map = pages_allocate(1, 1);
    if (map &&
        !ept_start(&map->nested, vmx_capabilities.ept_vpid, mtrrs()->physical_address_bits)) {
        pages_free(map, 1);
        return NULL;
    }
    if (map) {
        nested_limit_pages(&map->nested, page_size);
    }
    return map;
}

bool ept_add(struct guest_map *map, uint64_t guest, uint64_t host, uint64_t bytes) {
    enum nested_result result = bytes ? NESTED_OK : NESTED_BAD_RANGE;
    uint64_t end;
    for (uint64_t done = 0; result == NESTED_OK && done < bytes; done = end - host) {
        enum memory_type type = mtrr_type(mtrrs(), host + done, &end);
        end = end - host < bytes ? end : host + bytes;
        result = nested_map(&map->nested, guest + done, host + done, end - host - done, NESTED_RWX,
                            type);
    }
    if (result != NESTED_OK && result != NESTED_NO_MEMORY) {
        panic("guest memory at 0x%lx, 0x%lx bytes: %s", guest, bytes, nested_result_text(result));
    }
    return result == NESTED_OK;
}

/* 29.4.3.4. For this EPTP alone where the processor can, else for all. Without INVEPT (which every
 * processor with EPT is known to have) there would be nothing better to do. */
void ept_invalidate(struct nested *nested) {
    uint64_t capabilities = vmx_capabilities.ept_vpid;
    if (nested->stale && capabilities & EPT_CAP_INVEPT) {
        bool single = capabilities & EPT_CAP_INVEPT_SINGLE;
        if (invept(single ? INVEPT_SINGLE_CONTEXT : INVEPT_ALL_CONTEXTS, ept_pointer(nested)) !=
            VMX_SUCCEED) {
            panic("INVEPT of EPTP 0x%lx failed", ept_pointer(nested));
        }
    }
    nested->stale = false;
}

void ept_destroy(struct guest_map *map) {
    /* The tables' pages will be used again, perhaps as the root of another guest's: no cached
     * translation of this EPTP may outlive them. */
    map->nested.stale = true;
    ept_invalidate(&map->nested);
    nested_stop(&map->nested);
    pages_free(map, 1);
}
