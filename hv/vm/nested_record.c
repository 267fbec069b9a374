#include "core/records.h"
#include "vm/nested.h"

void nested_record_root(const char *key, const struct nested *nested) {
    record_open(key);
    record_hex("root", (uint64_t)nested->root);
    record_close();
}

void nested_record(const char *key, const struct nested *nested, uint64_t guest) {
    struct nested_walk walk = nested_walk(nested, guest);
    record_open(key);
    record_open_list("entries");
    for (int i = 0; i < walk.levels; i++) {
        record_hex(0, walk.entries[i]);
    }
    record_close();
    record_flag("mapped", walk.mapped);
    record_text("misconfigured", walk.misconfigured);
    record_close();
}
