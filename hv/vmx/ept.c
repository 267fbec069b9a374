#include "vmx/ept.h"

#include <assert.h>
#include <stddef.h>

#include "vmx/controls.h"

/* Tables 29-1 to 29-7. The permissions of vm/nested.h are these bits. */
#define ENTRY_READ       (1ull << 0)
#define ENTRY_WRITE      (1ull << 1)
#define ENTRY_EXECUTE    (1ull << 2)
#define ENTRY_RWX        (ENTRY_READ | ENTRY_WRITE | ENTRY_EXECUTE)
#define ENTRY_TYPE_SHIFT 3
#define ENTRY_TYPE       (7ull << ENTRY_TYPE_SHIFT)
#define ENTRY_LARGE      (1ull << 7)
#define ENTRY_ACCESSED   (1ull << 8)
#define ENTRY_DIRTY      (1ull << 9)
static_assert(ENTRY_READ == NESTED_READ && ENTRY_WRITE == NESTED_WRITE &&
                  ENTRY_EXECUTE == NESTED_EXECUTE,
              "the same numbers");

static uint64_t encode(unsigned permissions) {
    return permissions;
}

static uint64_t encode_type(enum memory_type type) {
    return (uint64_t)type << ENTRY_TYPE_SHIFT;
}

static unsigned permissions(uint64_t entry) {
    return entry & ENTRY_RWX;
}

static enum memory_type type(uint64_t entry) {
    return (enum memory_type)((entry & ENTRY_TYPE) >> ENTRY_TYPE_SHIFT);
}

static bool type_valid(enum memory_type type) {
    return memory_type_valid(type);
}

static bool permissions_valid(const struct nested *nested, unsigned permissions) {
    if (!permissions || permissions & ~(unsigned)NESTED_RWX) {
        return false;
    }
    return permissions & NESTED_READ || (nested->execute_only && permissions == NESTED_EXECUTE);
}

/* 29.3.3.1 */
static const char *malformed(const struct nested *nested, uint64_t entry, int level) {
    if (!(entry & ENTRY_READ) && entry & ENTRY_WRITE) {
        return "writable but not readable";
    }
    if (!(entry & ENTRY_READ) && !nested->execute_only) {
        return "executable but not readable, which this processor can't do";
    }
    if (level > 1 && !(entry & ENTRY_LARGE)) {
        return entry & 0x78 ? "a reserved bit of 6:3 is set in a reference to a table" : NULL;
    }
    return memory_type_valid(type(entry)) ? NULL : "the memory type is reserved";
}

static const struct nested_format format = {
    .present = ENTRY_RWX,
    .permission_bits = ENTRY_RWX,
    .reference = ENTRY_RWX,
    .accessed = ENTRY_ACCESSED,
    .dirty = ENTRY_DIRTY,
    .encode = encode,
    .encode_type = encode_type,
    .permissions = permissions,
    .type = type,
    .permissions_valid = permissions_valid,
    .type_valid = type_valid,
    .malformed = malformed,
};

bool ept_start(struct nested *nested, uint64_t ept_vpid_cap, unsigned physical_address_bits) {
    *nested = (struct nested){.format = &format};
    if (!(ept_vpid_cap & EPT_CAP_WALK_LENGTH_4) ||
        !(ept_vpid_cap & (EPT_CAP_WRITE_BACK | EPT_CAP_UNCACHEABLE)) ||
        physical_address_bits < 32 || physical_address_bits > 52) {
        return false;
    }
    nested->has_2m_pages = ept_vpid_cap & EPT_CAP_2M_PAGES;
    nested->has_1g_pages = nested->has_2m_pages && ept_vpid_cap & EPT_CAP_1G_PAGES;
    nested->execute_only = ept_vpid_cap & EPT_CAP_EXECUTE_ONLY;
    nested->walk_type = ept_vpid_cap & EPT_CAP_WRITE_BACK ? MEMORY_WB : MEMORY_UC; /* 29.3.7.1 */
    nested->accessed_dirty = ept_vpid_cap & EPT_CAP_ACCESSED_DIRTY;
    nested->address_limit = 1ull << physical_address_bits;
    return nested_start(nested);
}

uint64_t ept_pointer(const struct nested *nested) {
    enum { WALK_LENGTH_4 = 3 << 3 };
    return (uint64_t)nested->root | (uint64_t)nested->accessed_dirty << 6 | WALK_LENGTH_4 |
           (uint64_t)nested->walk_type;
}
