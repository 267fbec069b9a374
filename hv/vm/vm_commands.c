#include "vm/vm_commands.h"

#include "core/commands.h"
#include "core/records.h"
#include "core/string.h"
#include "core/words.h"

static const struct vm *machines;
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

void vm_offer_commands(const struct vm *vms, unsigned count) {
    static const struct command table[] = {{"map", record_translation}};
    machines = vms;
    machine_count = count;
    commands_add(table, sizeof table / sizeof table[0]);
}
