/* The hypervisor from start to end: check the request, turn virtualization on, run the guests. */
#include "core/boot_info.h"
#include "core/console.h"
#include "core/pages.h"
#include "core/power.h"
#include "core/refuse.h"
#include "core/start.h"
#include "core/string.h"
#include "core/words.h"
#include "cpu/apic.h"
#include "cpu/identify.h"
#include "debug.h"
#include "vm/boot_record.h"
#include "vm/focus.h"
#include "vm/handlers.h"
#include "vm/options.h"
#include "vm/scheduler.h"
#include "vm/trace.h"
#include "vm/vm.h"

/* By guest; modules that are data of theirs come in none of these. */
static struct vm_options vm_options[MAX_MODULES];
static struct guest_boot boots[MAX_MODULES];
static struct vm vms[MAX_MODULES];
static unsigned guest_count;
static char focus_name[VM_NAME_SIZE]; /* of the guest that console= names; "": there is none */
static unsigned troubled;             /* guests that could not start, or had to be stopped */

/* `trace=on`, or how many of the last exits to keep: `trace=64K`; `trace=off` is as without it. */
static void start_trace(const char *value) {
    uint64_t count = TRACE_DEFAULT;
    if (text_equal(value, "off")) {
        return;
    }
    if (!text_equal(value, "on") && (!word_size(value, &count) || count & (count - 1) ||
                                     count < TRACE_LEAST || count > TRACE_MOST)) {
        refuse("bad-option",
               "command line: trace=%s is neither on, off nor a power of 2 from %d to %d", value,
               TRACE_LEAST, TRACE_MOST);
    }
    if (!trace_start(count)) {
        refuse("no-memory", "there is not enough free memory for a trace of %lu exits", count);
    }
}

/* `crash=freeze`: a guest that is stopped for cause stops the machine, for whoever wants to look. */
static void set_crash(const char *value) {
    if (text_equal(value, "freeze")) {
        crash_freezes();
    } else if (!text_equal(value, "go-on")) {
        refuse("bad-option", "command line: crash=%s is neither freeze nor go-on", value);
    }
}

static void set_focus(const char *name) {
    if (!*name || !text_copy(focus_name, sizeof focus_name, name)) {
        refuse("bad-option", "command line: console=%s is no guest's name", name);
    }
}

static void parse_command_line(const char *text) {
    struct word word;
    enum word_result result;
    while ((result = word_next(&text, &word)) != WORD_NONE) {
        if (result != WORD_OK) {
            refuse("bad-option", "command line: %s has %s", word.key,
                   result == WORD_TOO_LONG ? "too many characters" : "a quote that does not end");
        }
        if (text_equal(word.key, "debug")) {
            if (!debug_parse(word.value)) {
                refuse("bad-option", "command line: debug=%s is not known", word.value);
            }
        } else if (text_equal(word.key, "trace")) {
            start_trace(word.value);
        } else if (text_equal(word.key, "crash")) {
            set_crash(word.value);
        } else if (text_equal(word.key, "console")) {
            set_focus(word.value);
        } else {
            refuse("bad-option",
                   "command line: unknown word %s%s%s (known: console, crash, debug, trace)",
                   word.key, word.has_value ? "=" : "", word.value);
        }
    }
}

static void parse_modules(void) {
    for (unsigned i = 0; i < boot_info.module_count; i++) {
        if (boot_file_is_data(&boot_info.modules[i])) {
            if (boot_file_has_options(&boot_info.modules[i])) { /* one that names itself, say */
                refuse("bad-option", "initrd= or module= names a module that has options: %s",
                       boot_info.modules[i].string);
            }
            continue;
        }
        struct vm_options *options = &vm_options[guest_count];
        vm_options_parse(&boot_info.modules[i], options, &boots[guest_count]);
        for (unsigned earlier = 0; earlier < guest_count; earlier++) {
            if (text_equal(options->name, vm_options[earlier].name)) {
                refuse("bad-option", "two guests are called %s", options->name);
            }
        }
        guest_count++;
    }
}

static void check_focus(void) {
    for (unsigned i = 0; i < guest_count; i++) {
        if (text_equal(vm_options[i].name, focus_name)) {
            return;
        }
    }
    refuse("bad-option", "command line: console=%s: no guest has this name", focus_name);
}

static void vm_ended(struct vm *vm) {
    troubled += vm->end == VM_ENDED_CRASH;
    vm_end(vm);
    focus_pass_on(vm);
}

noreturn void image_main(void) {
    const char *below = identify_hypervisor_below();
    print("hv", "Vanderpool on %s%s%s, %lu MiB", identify_brand(), below ? " under " : "",
          below ? below : "", boot_info.memory_bytes >> 20);
    virt_choose();
    vm_record_boot();
    parse_command_line(boot_arguments(boot_info.command_line));
    parse_modules();
    if (*focus_name) {
        check_focus();
    }
    debug_run();
    if (!virt) {
        refuse("no-vmx", "this CPU has neither VT-x (CPUID.01H:ECX.VMX[bit 5] is 0) nor AMD-V "
                         "(CPUID.80000001H:ECX.SVM[bit 2] is 0)");
    }
    virt->start();
    guest_cpuid_start();
    apic_admit_nmis();

    for (unsigned i = 0; i < guest_count; i++) {
        if (vm_create(&vms[i], &vm_options[i], &boots[i])) {
            vms[i].vcpu->label.vm = (uint8_t)i;
        } else {
            troubled++;
        }
    }
    if (*focus_name) {
        focus_start(vms, guest_count, focus_name);
    }
    scheduler_run(vms, guest_count, vm_ended);

    virt->stop();
    print("hv", "guests: %u, refused or stopped for cause: %u", guest_count, troubled);
    power_off_with_record(troubled ? "guest-crashed" : "ok",
                          troubled ? POWER_GUEST_CRASHED : POWER_OK);
}
