#include "vm/trace.h"

#include "core/pages.h"

struct trace_ring trace_rings[TRACE_RINGS];

bool trace_start(uint64_t count) {
    uint64_t bytes = count * sizeof(struct exit_record);
    struct exit_record *records = pages_allocate((bytes + PAGE_SIZE - 1) / PAGE_SIZE, 1);
    if (!records) {
        return false;
    }
    trace_rings[0] = (struct trace_ring){records, records, records + count, 0};
    return true;
}
