#include "vm/vm_commands.h"

#include "core/commands.h"
#include "core/records.h"
#include "core/string.h"
#include "core/words.h"
#include "vm/focus.h"

static struct vm *machines;
static unsigned machine_count;

/* Takes the next word, one that has no '=' in it. */
static bool take(const char **text, struct word *word) {
    return word_next(text, word) == WORD_OK && !word->has_value;
}

static bool record_translation(const char *arguments) {
    struct word name, number;
    uint64_t address;
    if (!take(&arguments, &name) || !take(&arguments, &number) ||
        !word_size(number.key, &address)) {
        return false;
    }
    for (const struct vm *vm = machines; vm < machines + machine_count; vm++) {
        if (vm->map && text_equal(vm->options.name, name.key)) {
            record_begin("map");
            record_text("guest", vm->options.name);
            record_hex("address", address);
            virt->map_record(vm->map, address);
            record_end();
            return true;
        }
    }
    return false; /* no such guest, or it has ended */
}

static bool change_focus(const char *arguments) {
    struct word name;
    if (!take(&arguments, &name)) {
        return false;
    }
    for (struct vm *vm = machines; vm < machines + machine_count; vm++) {
        if (text_equal(vm->options.name, name.key)) {
            return focus_give(vm);
        }
    }
    return false;
}

void vm_offer_commands(struct vm *vms, unsigned count) {
    static const struct command table[] = {{"focus", change_focus}, {"map", record_translation}};
    machines = vms;
    machine_count = count;
    commands_add(table, sizeof table / sizeof table[0]);
}
