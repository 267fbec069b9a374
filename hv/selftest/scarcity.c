/* Where memory is out: no guest, no page lost, no panic. */
#include "core/pages.h"
#include "selftest/machine.h"
#include "selftest/selftest.h"
#include "vm/loader.h"
#include "vm/virt.h"
#include "vmx/instructions.h"

enum { CHUNKS = 64, SPARE = 24, GUEST_BYTES = 2 << 20, GUEST_PAGES = GUEST_BYTES / PAGE_SIZE };

/* All memory but what is given back page by page. */
struct scarcity {
    struct {
        void *start;
        uint64_t count;
    } chunks[CHUNKS];
    unsigned chunk_count;
    void *spare[SPARE];
    unsigned given; /* of the spare pages */
};

static void scarcity_begin(struct scarcity *scarcity) {
    for (unsigned i = 0; i < SPARE; i++) {
        scarcity->spare[i] = page_allocate();
    }
    scarcity->given = scarcity->chunk_count = 0;
    for (uint64_t count = 1 << 16; count; count /= 2) {
        void *start;
        while (scarcity->chunk_count < CHUNKS && (start = pages_allocate(count, 1))) {
            scarcity->chunks[scarcity->chunk_count].start = start;
            scarcity->chunks[scarcity->chunk_count++].count = count;
        }
    }
}

static bool scarcity_give(struct scarcity *scarcity) {
    if (scarcity->given == SPARE) {
        return check(false, "%u pages were not enough", SPARE);
    }
    pages_free(scarcity->spare[scarcity->given++], 1);
    return true;
}

static void scarcity_end(struct scarcity *scarcity) {
    for (unsigned i = 0; i < scarcity->chunk_count; i++) {
        pages_free(scarcity->chunks[i].start, scarcity->chunks[i].count);
    }
    while (scarcity->given < SPARE) {
        pages_free(scarcity->spare[scarcity->given++], 1);
    }
}

SELFTEST(vcpu_without_memory,
         "where memory is out there is no vCPU, no page is lost, nothing panics") {
    static struct scarcity scarcity;
    struct vm vm = {.map = virt->map_create(PAGE_SIZE_2M)};
    const struct vcpu_start start = {.mode = VCPU_LONG};
    struct vcpu *vcpu;
    scarcity_begin(&scarcity);
    check_equal("the free pages", pages_available(), 0);
    while (!(vcpu = virt->vcpu_create(&vm, &start))) {
        check(pages_available() == scarcity.given, "of %u pages %lu are left", scarcity.given,
              pages_available());
        if (!scarcity_give(&scarcity)) {
            break;
        }
    }
    note("a vCPU takes %u pages", scarcity.given);
    if (vcpu) {
        check(scarcity.given > 0, "a vCPU came out of no memory");
        virt->vcpu_destroy(vcpu);
        check_equal("the free pages", pages_available(), scarcity.given);
    }
    scarcity_end(&scarcity);
    virt->map_destroy(vm.map);
}

SELFTEST(vm_without_memory,
         "where memory is out a guest is refused, with nothing of it left behind") {
    static struct scarcity scarcity;
    static struct vm vm;
    static struct guest_boot boot;
    static const struct vm_options options = {"scarce", GUEST_BYTES, VCPU_LONG, PAGE_SIZE_2M};
    struct program program = PROGRAM(exit_42);
    boot.image = (struct guest_file){(const uint8_t *)program.start,
                                     (uint64_t)(program.end - program.start)};
    void *memory = pages_allocate(GUEST_PAGES, GUEST_PAGES);
    scarcity_begin(&scarcity);
    check(!vm_create(&vm, &options, &boot), "a guest came out of no memory");
    check_equal("the free pages", pages_available(), 0);
    pages_free(memory, GUEST_PAGES);
    bool created;
    while (!(created = vm_create(&vm, &options, &boot))) {
        check(pages_available() == GUEST_PAGES + scarcity.given, "of %u pages %lu are left",
              GUEST_PAGES + scarcity.given, pages_available());
        if (!scarcity_give(&scarcity)) {
            break;
        }
    }
    note("a guest takes %u pages beside its memory", scarcity.given);
    if (created) {
        vm_destroy(&vm);
        check_equal("the free pages", pages_available(), GUEST_PAGES + scarcity.given);
    }
    scarcity_end(&scarcity);
}
