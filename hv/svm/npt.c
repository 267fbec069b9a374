#include "svm/npt.h"

#include <stddef.h>

/* APM 2 5.3.3 and 5.4 */
#define ENTRY_PRESENT    (1ull << 0)
#define ENTRY_WRITE      (1ull << 1)
#define ENTRY_USER       (1ull << 2)
#define ENTRY_PWT        (1ull << 3)
#define ENTRY_PCD        (1ull << 4)
#define ENTRY_ACCESSED   (1ull << 5)
#define ENTRY_DIRTY      (1ull << 6)
#define ENTRY_LARGE      (1ull << 7)
#define ENTRY_NO_EXECUTE (1ull << 63)

enum { ROOT_LEVEL = 4 };

/* What is present can be read; for all of a guest's accesses are a user's (15.25.5). */
static uint64_t encode(unsigned permissions) {
    return ENTRY_PRESENT | ENTRY_USER | (permissions & NESTED_WRITE ? ENTRY_WRITE : 0) |
           (permissions & NESTED_EXECUTE ? 0 : ENTRY_NO_EXECUTE);
}

static unsigned permissions(uint64_t entry) {
    if (!(entry & ENTRY_PRESENT) || !(entry & ENTRY_USER)) {
        return 0;
    }
    return NESTED_READ | (entry & ENTRY_WRITE ? NESTED_WRITE : 0) |
           (entry & ENTRY_NO_EXECUTE ? 0 : NESTED_EXECUTE);
}

static bool permissions_valid(const struct nested *nested, unsigned permissions) {
    (void)nested;
    return permissions & NESTED_READ && !(permissions & ~(unsigned)NESTED_RWX);
}

/* Write-back is the first type of PAT as it is after reset. MTRRs count besides (15.25.8), so that what
 * they make something else stays that. */
static bool type_valid(enum memory_type type) {
    return type == MEMORY_WB;
}

static uint64_t encode_type(enum memory_type type) {
    (void)type;
    return 0;
}

static enum memory_type type(uint64_t entry) {
    return entry & (ENTRY_PWT | ENTRY_PCD) ? MEMORY_UC : MEMORY_WB;
}

static const char *malformed(const struct nested *nested, uint64_t entry, int level) {
    (void)nested;
    return level == ROOT_LEVEL && entry & ENTRY_LARGE ? "bit 7 is reserved in the top table" : NULL;
}

static const struct nested_format format = {
    .present = ENTRY_PRESENT,
    .permission_bits = ENTRY_PRESENT | ENTRY_WRITE | ENTRY_USER | ENTRY_NO_EXECUTE,
    .reference = ENTRY_PRESENT | ENTRY_WRITE | ENTRY_USER,
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

bool npt_start(struct nested *nested, bool has_1g_pages, unsigned physical_address_bits) {
    *nested = (struct nested){.format = &format,
                              .address_limit = 1ull << physical_address_bits,
                              .has_2m_pages = true, /* long mode has them, 5.3.4 */
                              .has_1g_pages = has_1g_pages,
                              .accessed_dirty = true,
                              .walk_type = MEMORY_WB};
    return nested_start(nested);
}
