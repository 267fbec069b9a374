/* Which of the boot modules are guests, and which are the files that guests name. */
#include <stddef.h>

#include "core/string.h"
#include "core/words.h"
#include "vm/options.h"

/* Where the first word of a string ends, and the last component of the path in it begins. */
struct file_name {
    const char *start;
    size_t length;
};

static struct file_name name_in(const char *text) {
    while (*text == ' ') {
        text++;
    }
    struct file_name name = {text, 0};
    for (; *text && *text != ' '; text++) {
        if (*text == '/') {
            name.start = text + 1;
        }
    }
    name.length = (size_t)(text - name.start);
    return name;
}

static bool module_is_called(const struct boot_module *module, struct file_name name) {
    const char *string = module->string;
    struct file_name own = name_in(string);
    bool has_file = boot_arguments(string) >= own.start + own.length;
    return has_file && own.length && own.length == name.length &&
           memcmp(own.start, name.start, name.length) == 0;
}

static bool names(const char *words, const struct boot_module *module) {
    struct word word;
    const char *text = boot_arguments(words);
    while (word_next(&text, &word) != WORD_NONE) {
        if ((text_equal(word.key, "initrd") || text_equal(word.key, "module")) &&
            module_is_called(module, name_in(word.value))) {
            return true;
        }
    }
    return false;
}

bool boot_file_is_data(const struct boot_module *module) {
    for (unsigned i = 0; i < boot_info.module_count; i++) {
        if (names(boot_info.modules[i].string, module)) {
            return true;
        }
    }
    return false;
}

bool boot_file_has_options(const struct boot_module *module) {
    const char *rest = boot_arguments(module->string);
    while (*rest == ' ') {
        rest++;
    }
    return *rest;
}

const struct boot_module *boot_file_find(const char *text) {
    const struct boot_module *found = NULL;
    for (unsigned i = 0; i < boot_info.module_count; i++) {
        const struct boot_module *module = &boot_info.modules[i];
        if (module_is_called(module, name_in(text))) {
            if (found) {
                return NULL; /* better none than the wrong one */
            }
            found = module;
        }
    }
    return found;
}
