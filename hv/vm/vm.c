#include "vm/vm.h"

#include "core/console.h"
#include "core/pages.h"
#include "core/records.h"
#include "core/string.h"
#include "vm/loader.h"

/* The names under which exits are counted in the vm-stop record. */
static const char *const exit_kind_names[VM_EXIT_KINDS] = {
    [VM_EXIT_CPUID] = "cpuid",
    [VM_EXIT_HLT] = "hlt",
    [VM_EXIT_HYPERCALL] = "hypercall",
    [VM_EXIT_IO] = "io",
    [VM_EXIT_MSR_READ] = "msr-read",
    [VM_EXIT_MSR_WRITE] = "msr-write",
    [VM_EXIT_MEMORY] = "memory",
    [VM_EXIT_TRIPLE_FAULT] = "triple-fault",
    [VM_EXIT_NMI] = "nmi",
    [VM_EXIT_ENTRY_FAILED] = "entry-failed",
    [VM_EXIT_OTHER] = "other",
};

static const char *const end_names[] = {[VM_RUNNING] = "running",
                                        [VM_ENDED_EXIT] = "exit",
                                        [VM_ENDED_HALT] = "halt",
                                        [VM_ENDED_CRASH] = "crash"};

static void say_refused(const struct vm *vm, const char *reason, const char *message) {
    print("vm", "%s refused: %s", vm->options.name, message);
    record_begin("vm-refused");
    record_text("guest", vm->options.name);
    record_text("reason", reason);
    record_text("message", message);
    record_end();
}

static void say_start(const struct vm *vm, uint64_t image_bytes) {
    print("vm", "%s starts: image %lu bytes, memory %lu KiB", vm->options.name, image_bytes,
          vm->options.memory >> 10);
    record_begin("vm-start");
    record_text("guest", vm->options.name);
    record_number("memory", vm->options.memory);
    record_number("image", image_bytes);
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
            record_number(exit_kind_names[kind], vm->exits[kind]);
        }
        total += vm->exits[kind];
    }
    record_close();
    record_end();
    print("vm", "%s ended by %s, code %lu, after %lu exits", vm->options.name, end_names[vm->end],
          vm->exit_code, total);
}

static void take_apart(struct vm *vm) {
    if (vm->vcpu) {
        virt->vcpu_destroy(vm->vcpu);
    }
    if (vm->map) {
        virt->map_destroy(vm->map);
    }
    if (vm->memory) {
        /* What a guest left behind is nobody else's: allocation zeroes pages before their next use. */
        pages_free(vm->memory, vm->options.memory / PAGE_SIZE);
    }
}

bool vm_boot(struct vm *vm, const struct vm_options *options, const struct boot_module *module) {
    uint64_t image_bytes = module->end - module->start;
    struct vcpu_start start;
    *vm = (struct vm){.options = *options};

    /* 2 MiB alignment lets EPT use large pages. */
    vm->memory = pages_allocate(options->memory / PAGE_SIZE, 512);
    vm->map = vm->memory ? virt->map_create() : 0;
    if (!vm->map || !virt->map_add(vm->map, 0, (uint64_t)vm->memory, options->memory)) {
        say_refused(vm, "no-memory", "there is not enough free memory for it");
        take_apart(vm);
        return false;
    }
    if (!loader_flat(vm, (const void *)module->start, image_bytes, &start)) {
        say_refused(vm, "too-big",
                    "its image does not fit into its memory; give it more with memory=");
        take_apart(vm);
        return false;
    }
    vm->vcpu = virt->vcpu_create(vm, &start);
    say_start(vm, image_bytes);
    virt->vcpu_run(vm->vcpu);
    guest_console_flush(&vm->console, vm->options.name);
    say_stop(vm);
    take_apart(vm);
    return vm->end != VM_ENDED_CRASH;
}
