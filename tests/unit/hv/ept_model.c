/* Random sequences of operations, compared with an array that has one fact a page. */
#include <string.h>

#include "ept_fixture.h"

/* 2 GiB that begin 1 GiB below a boundary of the topmost tables, so that all levels take part. */
enum { PAGES = 2 << 18, STEPS = 400 };
static const uint64_t BASE = 511 * GIB;

/* 0, or the page's host address | permissions | type << 3. */
static uint64_t model[PAGES];

/* What the page table's level must be at each page, by what the model says of its neighbours. */
static uint8_t levels[PAGES];

static bool uniform(uint64_t first, uint64_t span) {
    uint64_t fact = model[first];
    if (!fact || (fact & ~0xfffull) % (span * 4096)) {
        return false;
    }
    for (uint64_t i = 1; i < span; i++) {
        if (model[first + i] != fact + i * 4096) {
            return false;
        }
    }
    return true;
}

/* Also counts the tables below the root that there must be. */
static uint64_t find_levels(uint64_t capabilities) {
    uint64_t tables = 0;
    for (uint64_t half = 0; half < PAGES; half += 1 << 18) { /* one PML4 entry each */
        bool any = false;
        uint64_t below = 0;
        bool one = capabilities & CAP_1G && uniform(half, 1 << 18);
        for (uint64_t page = half; page < half + (1 << 18); page += 512) {
            bool large = capabilities & CAP_2M && uniform(page, 512), some = false;
            for (uint64_t i = page; i < page + 512; i++) {
                levels[i] = one ? 3 : large ? 2 : 1;
                some |= model[i] != 0;
            }
            below += some && !large;
            any |= some;
        }
        tables += any + (any && !one) + (one ? 0 : below);
    }
    return tables;
}

static void compare(const struct nested *ept, uint64_t capabilities) {
    expect_equal(stand_in_pages_live(), 1 + find_levels(capabilities));
    for (uint64_t page = 0; page < PAGES;) {
        uint64_t guest = BASE + page * 4096;
        struct nested_walk walk = nested_walk(ept, guest);
        expect(!walk.misconfigured);
        uint64_t stop = ((guest | (walk.page_size - 1)) + 1 - BASE) / 4096;
        if (stop > PAGES) {
            stop = PAGES; /* a hole may reach further */
        }
        if (walk.mapped) {
            expect_equal(walk.page_size, 1ull << (12 + 9 * (levels[page] - 1)));
            expect_equal(walk.host | walk.permissions | walk.type << 3, model[page]);
            /* The pages inside follow: `levels` has found them uniform. */
        } else {
            for (uint64_t i = page; i < stop; i++) {
                expect_equal(model[i], 0);
            }
        }
        page = stop;
    }
}

/* A range that likes to begin and end at boundaries, or just beside them. */
static void random_range(uint64_t *first, uint64_t *count) {
    static const uint64_t units[] = {1, 1, 64, 512, 512, 4096, 1 << 18};
    uint64_t unit = units[random_below(7)];
    *first = random_below(PAGES / unit) * unit;
    *count = (1 + random_below(4)) * units[random_below(7)];
    if (random_below(4) == 0 && *first) {
        --*first;
    }
    if (random_below(4) == 0) {
        ++*count;
    }
    if (*count > PAGES - *first) {
        *count = PAGES - *first;
    }
}

static bool every(uint64_t first, uint64_t count, bool mapped) {
    for (uint64_t i = first; i < first + count; i++) {
        if (!model[i] == mapped) {
            return false;
        }
    }
    return true;
}

static void step(struct nested *ept) {
    static const unsigned permissions[] = {NESTED_RWX, NESTED_RWX, NESTED_READ,
                                           NESTED_READ | NESTED_EXECUTE};
    static const enum memory_type types[] = {MEMORY_WB, MEMORY_WB, MEMORY_WB, MEMORY_UC};
    uint64_t first, count;
    random_range(&first, &count);
    uint64_t guest = BASE + first * 4096, bytes = count * 4096;
    unsigned permission = permissions[random_below(4)];
    enum memory_type type = types[random_below(4)];
    uint64_t host = 0;
    unsigned operation = (unsigned)random_below(8);
    if (operation == 7) { /* everything there goes: otherwise no hole would ever be large */
        for (uint64_t i = first; i < first + count; i++) {
            if (model[i]) {
                uint64_t run = 1;
                while (i + run < first + count && model[i + run]) {
                    run++;
                }
                expect_equal(nested_unmap(ept, BASE + i * 4096, run * 4096), NESTED_OK);
                i += run;
            }
        }
        memset(&model[first], 0, count * sizeof model[0]);
        return;
    }
    bool short_of_memory = random_below(4) == 0;
    if (short_of_memory) {
        stand_in_pages_fail_after(random_below(4));
    }
    enum nested_result result, without;
    if (operation < 3) {
        /* Mostly where it would continue its neighbours, so that there is something to merge. */
        host = 8 * GIB + first * 4096 + (random_below(6) ? 0 : 4096 * random_below(1024));
        without = every(first, count, false) ? NESTED_OK : NESTED_OVERLAP;
        result = nested_map(ept, guest, host, bytes, permission, type);
    } else {
        without = every(first, count, true) ? NESTED_OK : NESTED_NOT_MAPPED;
        result = operation == 3 ? nested_unmap(ept, guest, bytes)
                                : nested_protect(ept, guest, bytes, permission);
    }
    stand_in_pages_fail_after(UINT64_MAX);
    expect(result == without ||
           (short_of_memory && without == NESTED_OK && result == NESTED_NO_MEMORY));
    for (uint64_t i = first; result == NESTED_OK && i < first + count; i++) {
        model[i] = operation < 3    ? (host + (i - first) * 4096) | permission | type << 3
                   : operation == 3 ? 0
                                    : (model[i] & ~7ull) | permission;
    }
}

static void follow_the_model(uint64_t capabilities) {
    struct nested ept = ept_with(capabilities);
    for (int i = 1; i <= STEPS; i++) {
        step(&ept);
        if (i % 4 == 0) {
            compare(&ept, capabilities);
        }
    }
    ept_done(&ept);
}

void check_random_operations_do_what_the_model_says(void) {
    follow_the_model(CAP_ALL);
}

void check_random_operations_do_what_the_model_says_without_1g_pages(void) {
    follow_the_model(CAP_ALL & ~CAP_1G);
}

void check_random_operations_do_what_the_model_says_with_small_pages_only(void) {
    follow_the_model(CAP_BASE);
}
