#include "selftest/product.h"

#include "core/pages.h"
#include "selftest/selftest.h"
#include "vm/loader.h"
#include "vm/scheduler.h"

static unsigned ended;

static void count_end(struct vm *vm) {
    ended++;
    check(vm->end == VM_ENDED_EXIT && vm->exit_code == 42, "the guest ended by %u with code %lu",
          vm->end, vm->exit_code);
    vm_destroy(vm);
}

const struct vm *product_runs(struct program program, void (*prepare)(struct vm *vm)) {
    static struct vm vm;
    static struct guest_boot boot;
    static const struct vm_options options = {"selftest", 2 << 20, VCPU_LONG, PAGE_SIZE_2M};
    boot.image = (struct guest_file){(const uint8_t *)program.start,
                                     (uint64_t)(program.end - program.start)};
    ended = 0;
    if (check(vm_create(&vm, &options, &boot), "the guest could not be created")) {
        if (prepare) {
            prepare(&vm);
        }
        scheduler_run(&vm, 1, count_end);
        check_equal("how many guests ended", ended, 1);
    }
    return &vm;
}
