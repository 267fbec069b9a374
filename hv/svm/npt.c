#include "svm/npt.h"

#include "core/pages.h"
#include "core/records.h"

/* INTERIM: 4 KiB pages only, until the tables are shared with EPT. */
struct guest_map {
    uint64_t *root;
};
enum { P_W_U = 7, LEVELS = 4 };

static uint64_t *entry_at(uint64_t *root, uint64_t guest, bool create) {
    uint64_t *table = root;
    for (int level = LEVELS; level > 1; level--) {
        uint64_t *entry = &table[guest >> (12 + 9 * (level - 1)) & 511];
        if (!*entry) {
            void *below = create ? pages_allocate(1, 1) : 0;
            if (!below) {
                return 0;
            }
            *entry = (uint64_t)below | P_W_U;
        }
        table = (uint64_t *)(*entry & 0x000ffffffffff000);
    }
    return &table[guest >> 12 & 511];
}

struct guest_map *npt_create(void) {
    struct guest_map *map = pages_allocate(1, 1);
    if (map && !(map->root = pages_allocate(1, 1))) {
        pages_free(map, 1);
        map = 0;
    }
    return map;
}

bool npt_add(struct guest_map *map, uint64_t guest, uint64_t host, uint64_t bytes) {
    for (uint64_t done = 0; done < bytes; done += PAGE_SIZE) {
        uint64_t *entry = entry_at(map->root, guest + done, true);
        if (!entry) {
            return false;
        }
        *entry = (host + done) | P_W_U;
    }
    return true;
}

static void free_table(uint64_t *table, int level) {
    for (unsigned i = 0; i < 512 && level > 1; i++) {
        if (table[i]) {
            free_table((uint64_t *)(table[i] & 0x000ffffffffff000), level - 1);
        }
    }
    pages_free(table, 1);
}

void npt_destroy(struct guest_map *map) {
    free_table(map->root, LEVELS);
    pages_free(map, 1);
}

void npt_record(const struct guest_map *map, uint64_t guest) {
    const uint64_t *entry = entry_at(map->root, guest, false);
    record_open("npt");
    record_flag("mapped", entry && *entry & 1);
    record_close();
}

void npt_record_root(const struct guest_map *map) {
    record_open("npt");
    record_hex("root", (uint64_t)map->root);
    record_close();
}

uint64_t npt_root(const struct guest_map *map) {
    return (uint64_t)map->root;
}
