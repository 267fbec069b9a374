#include "vm/vm.h"

#include "core/console.h"
#include "core/pages.h"
#include "core/records.h"
#include "core/string.h"
#include "core/time.h"
#include "core/wall_clock.h"
#include "cpu/port.h"
#include "vm/handlers.h"
#include "vm/loader.h"

static const char *const end_names[] = {[VM_RUNNING] = "running",
                                        [VM_ENDED_EXIT] = "exit",
                                        [VM_ENDED_HALT] = "halt",
                                        [VM_ENDED_RESET] = "reset",
                                        [VM_ENDED_CRASH] = "crash"};

static void say_start(const struct vm *vm, uint64_t image_bytes) {
    print("vm", "%s starts: image %lu bytes, memory %lu KiB", vm->options.name, image_bytes,
          vm->options.memory >> 10);
    record_begin("vm-start");
    record_text("guest", vm->options.name);
    record_number("memory", vm->options.memory);
    record_number("image", image_bytes);
    record_number("free", pages_available() * PAGE_SIZE); /* with this guest's own taken */
    virt->map_record_root(vm->map);
    record_end();
}

static void say_stop(const struct vm *vm) {
    uint64_t total = 0;
    record_begin("vm-stop");
    record_text("guest", vm->options.name);
    record_text("reason", end_names[vm->end]);
    record_number("code", vm->exit_code);
    record_open("exits");
    for (unsigned kind = 0; kind < VM_EXIT_KINDS; kind++) {
        if (vm->exits[kind]) {
            record_number(vm_exit_kind_name((enum vm_exit_kind)kind), vm->exits[kind]);
        }
        total += vm->exits[kind];
    }
    record_close();
    record_number("ticks", rdtsc() - vm->started);
    record_end();
    print("vm", "%s ended by %s, code %lu, after %lu exits", vm->options.name, end_names[vm->end],
          vm->exit_code, total);
}

static void free_processor(struct vm *vm) {
    if (vm->vcpu) {
        virt->vcpu_destroy(vm->vcpu);
        vm->vcpu = 0;
    }
    if (vm->map) {
        virt->map_destroy(vm->map);
        vm->map = 0;
    }
}

void vm_scrub(struct vm *vm, uint64_t until) {
    do {
        if (vm->scrubbed == vm->options.memory) {
            pages_free(vm->memory, vm->options.memory / PAGE_SIZE);
            vm->memory = 0;
            return;
        }
        memset(vm->memory + vm->scrubbed, 0, PAGE_SIZE); /* what it leaves is nobody else's */
        vm->scrubbed += PAGE_SIZE;
    } while (rdtsc() < until);
}

static void take_apart(struct vm *vm) {
    free_processor(vm);
    if (vm->memory) {
        vm_scrub(vm, UINT64_MAX);
    }
}

static bool refused(struct vm *vm, const char *reason, const char *message) {
    print("vm", "%s refused: %s", vm->options.name, message);
    record_begin("vm-refused");
    record_text("guest", vm->options.name);
    record_text("reason", reason);
    record_text("message", message);
    record_end();
    take_apart(vm);
    return false;
}

/* A line takes as long as our own console takes for it: the guest has paid for that with its slice, but
 * its time does not pass, or its timer's ticks would come in bunches. */
static void put_on_console(void *context, uint8_t byte) {
    struct vm *vm = context;
    uint64_t start = rdtsc();
    guest_console_put(&vm->console, byte);
    clock_skip(&vm->vcpu->clock, rdtsc() - start);
}

bool vm_create(struct vm *vm, const struct vm_options *options, const struct guest_boot *boot) {
    struct vcpu_start start;
    struct load_refusal refusal;
    *vm = (struct vm){.options = *options};
    vm->devices[0] = scratch_device(&vm->scratch);
    vm->console.name = vm->options.name;
    platform_start(&vm->platform, time_tsc_hz(), wall_clock_seconds(), put_on_console, vm);
    rtc_set_memory(&vm->platform.rtc, options->memory);
    if (!virt->can_start_in(options->mode)) {
        return refused(vm, "no-unrestricted-guest",
                       "this CPU has no unrestricted guest, which guests that start in real or "
                       "unpaged protected mode need");
    }
    vm->memory = pages_allocate(options->memory / PAGE_SIZE, options->page_size / PAGE_SIZE);
    vm->map = vm->memory ? virt->map_create(options->page_size) : 0;
    if (!vm->map || !virt->map_add(vm->map, 0, (uint64_t)vm->memory, options->memory)) {
        return refused(vm, "no-memory", "there is not enough free memory for it");
    }
    if (!loader_load(vm, boot, &start, &refusal)) {
        return refused(vm, refusal.reason, refusal.message);
    }
    vm->vcpu = virt->vcpu_create(vm, &start);
    if (!vm->vcpu) {
        return refused(vm, "no-memory", "there is not enough free memory for its processor");
    }
    say_start(vm, boot->image.size);
    return true;
}

void vm_end(struct vm *vm) {
    guest_console_flush(&vm->console);
    say_stop(vm);
    free_processor(vm);
}

void vm_destroy(struct vm *vm) {
    vm_end(vm);
    take_apart(vm);
}
