/* A module's string: `hello.bin name=hello memory=4M mode=long`. */
#include "core/pages.h"
#include "core/refuse.h"
#include "core/string.h"
#include "core/words.h"
#include "vm/loader.h"
#include "vm/vm.h"

static const uint64_t DEFAULT_MEMORY = 4ull << 20;

static bool name_is_good(const char *name) {
    for (const char *c = name; *c; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
        bool digit = *c >= '0' && *c <= '9';
        if (!letter && !digit && *c != '-' && *c != '_' && *c != '.') {
            return false;
        }
    }
    return *name;
}

static void set_name(struct vm_options *options, const char *name) {
    if (!name_is_good(name) || !text_copy(options->name, sizeof options->name, name)) {
        refuse("bad-option", "name=%s is no guest's name: up to %d letters, digits, '-', '_', '.'",
               name, VM_NAME_SIZE - 1);
    }
}

static void set_memory(struct vm_options *options, const char *value) {
    uint64_t bytes;
    if (!word_size(value, &bytes) || bytes % PAGE_SIZE || bytes < LOADER_LEAST_MEMORY ||
        bytes > LOADER_MOST_MEMORY) {
        refuse("bad-option", "%s: memory=%s is not whole pages from %luM to %luM", options->name,
               value, LOADER_LEAST_MEMORY >> 20, LOADER_MOST_MEMORY >> 20);
    }
    options->memory = bytes;
}

static void set_mode(struct vm_options *options, const char *value) {
    static const char *const modes[] = {
        [VCPU_REAL] = "real", [VCPU_PROTECTED] = "protected", [VCPU_LONG] = "long"};
    for (unsigned i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (text_equal(value, modes[i])) {
            options->mode = (enum vcpu_mode)i;
            return;
        }
    }
    refuse("bad-option", "%s: mode=%s is none of real, protected, long", options->name, value);
}

/* The file's name without its folders and its last suffix: what a guest is called by default. */
static void default_name(const char *string, const char *arguments, char *to) {
    const char *start = string, *end = arguments;
    for (const char *c = string; c < arguments; c++) {
        if (*c == '/' || *c == ' ') {
            start = c + 1;
        }
    }
    for (const char *c = end; c > start + 1; c--) {
        if (c[-1] == '.') {
            end = c - 1;
            break;
        }
    }
    uint64_t length = (uint64_t)(end - start);
    if (length >= VM_NAME_SIZE) {
        length = VM_NAME_SIZE - 1;
    }
    memcpy(to, start, length);
    to[length] = '\0';
}

void vm_options_parse(const struct boot_module *module, struct vm_options *options) {
    const char *text = boot_arguments(module->string);
    char stem[VM_NAME_SIZE];
    default_name(module->string, text, stem);
    *options = (struct vm_options){.memory = DEFAULT_MEMORY, .mode = VCPU_LONG};
    text_copy(options->name, sizeof options->name, stem);

    struct word word;
    enum word_result result;
    while ((result = word_next(&text, &word)) != WORD_NONE) {
        if (result != WORD_OK) {
            refuse("bad-option", "guest %s: %s has %s", options->name, word.key,
                   result == WORD_TOO_LONG ? "too many characters" : "a quote that does not end");
        }
        if (text_equal(word.key, "name")) {
            set_name(options, word.value);
        } else if (text_equal(word.key, "memory")) {
            set_memory(options, word.value);
        } else if (text_equal(word.key, "mode")) {
            set_mode(options, word.value);
        } else {
            refuse("bad-option", "guest %s: unknown word %s%s%s (known: name, memory, mode)",
                   options->name, word.key, word.has_value ? "=" : "", word.value);
        }
    }
    if (!name_is_good(options->name)) {
        refuse("bad-option", "a module has neither a file name nor name=");
    }
}
