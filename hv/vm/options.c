#include "vm/options.h"

#include <assert.h>

#include "core/pages.h"
#include "core/refuse.h"
#include "core/string.h"
#include "core/words.h"

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

/* Which of three names this is; they are the known values of a word. */
static unsigned choose(const struct vm_options *options, const struct word *word,
                       const char *const known[3]) {
    for (unsigned i = 0; i < 3; i++) {
        if (text_equal(word->value, known[i])) {
            return i;
        }
    }
    refuse("bad-option", "%s: %s=%s is none of %s, %s, %s", options->name, word->key, word->value,
           known[0], known[1], known[2]);
}

static const char *const modes[] = {
    [VCPU_REAL] = "real", [VCPU_PROTECTED] = "protected", [VCPU_LONG] = "long"};
static const char *const protocols[] = {
    [BOOT_FLAT] = "flat", [BOOT_LINUX] = "linux", [BOOT_MULTIBOOT] = "multiboot"};

/* A boot module that this guest names. */
static struct guest_file data_file(const struct vm_options *options, const struct word *word) {
    const struct boot_module *module = boot_file_find(word->value);
    if (!module) {
        refuse("bad-option", "%s: %s=%s is the name of none, or several, of the modules",
               options->name, word->key, word->value);
    }
    if (boot_file_has_options(module)) {
        refuse("bad-option", "%s: %s=%s names a module that has options, as a guest has",
               options->name, word->key, word->value);
    }
    return (struct guest_file){(const uint8_t *)module->start, module->end - module->start};
}

static void set_page_size(struct vm_options *options, const struct word *word) {
    static const char *const names[] = {"4K", "2M", "1G"};
    static const uint64_t sizes[] = {PAGE_SIZE, PAGE_SIZE_2M, PAGE_SIZE_1G};
    options->page_size = sizes[choose(options, word, names)];
}

static void add_module(struct vm_options *options, struct guest_boot *boot,
                       const struct word *word) {
    if (boot->module_count == BOOT_MODULES) {
        refuse("bad-option", "%s: module= comes more than %d times", options->name, BOOT_MODULES);
    }
    if (!text_copy(boot->module_strings[boot->module_count], BOOT_STRING_SIZE, word->value)) {
        refuse("bad-option", "%s: module= has more than %d characters", options->name,
               BOOT_STRING_SIZE - 1);
    }
    boot->modules[boot->module_count++] = data_file(options, word);
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

/* False: there is no such word. */
static bool take(struct vm_options *options, struct guest_boot *boot, const struct word *word) {
    static_assert((int)WORD_SIZE <= (int)BOOT_COMMAND_LINE_SIZE, "no value is cut");
    if (text_equal(word->key, "name")) {
        set_name(options, word->value);
    } else if (text_equal(word->key, "memory")) {
        set_memory(options, word->value);
    } else if (text_equal(word->key, "pages")) {
        set_page_size(options, word);
    } else if (text_equal(word->key, "mode")) {
        options->mode = (enum vcpu_mode)choose(options, word, modes);
    } else if (text_equal(word->key, "boot")) {
        boot->protocol = (enum boot_protocol)choose(options, word, protocols);
    } else if (text_equal(word->key, "cmdline")) {
        text_copy(boot->command_line, BOOT_COMMAND_LINE_SIZE, word->value);
    } else if (text_equal(word->key, "initrd")) {
        boot->initrd = data_file(options, word);
    } else if (text_equal(word->key, "module")) {
        add_module(options, boot, word);
    } else {
        return false;
    }
    return true;
}

/* Words that only some protocols know what to do with. */
static void check_protocol(struct vm_options *options, const struct guest_boot *boot,
                           bool has_mode) {
    const char *word = 0;
    if (boot->protocol == BOOT_FLAT && boot->command_line[0]) {
        word = "cmdline=";
    } else if (boot->protocol != BOOT_FLAT && has_mode) {
        word = "mode=";
    } else if (boot->protocol != BOOT_LINUX && boot->initrd.bytes) {
        word = "initrd=";
    } else if (boot->protocol != BOOT_MULTIBOOT && boot->module_count) {
        word = "module=";
    }
    if (word) {
        refuse("bad-option", "%s: %s is nothing for boot=%s", options->name, word,
               protocols[boot->protocol]);
    }
    if (boot->protocol != BOOT_FLAT) {
        options->mode = VCPU_PROTECTED;
    }
}

void vm_options_parse(const struct boot_module *module, struct vm_options *options,
                      struct guest_boot *boot) {
    const char *text = boot_arguments(module->string);
    char stem[VM_NAME_SIZE];
    default_name(module->string, text, stem);
    *options =
        (struct vm_options){.memory = DEFAULT_MEMORY, .mode = VCPU_LONG, .page_size = PAGE_SIZE_2M};
    text_copy(options->name, sizeof options->name, stem);
    memset(boot, 0, sizeof *boot);
    boot->image = (struct guest_file){(const uint8_t *)module->start, module->end - module->start};

    struct word word;
    enum word_result result;
    bool has_mode = false;
    while ((result = word_next(&text, &word)) != WORD_NONE) {
        if (result != WORD_OK) {
            refuse("bad-option", "guest %s: %s has %s", options->name, word.key,
                   result == WORD_TOO_LONG ? "too many characters" : "a quote that does not end");
        }
        if (!take(options, boot, &word)) {
            refuse("bad-option",
                   "guest %s: unknown word %s%s%s (known: name, memory, pages, mode, boot, "
                   "cmdline, initrd, module)",
                   options->name, word.key, word.has_value ? "=" : "", word.value);
        }
        has_mode |= text_equal(word.key, "mode");
    }
    if (!name_is_good(options->name)) {
        refuse("bad-option", "a module has neither a file name nor name=");
    }
    check_protocol(options, boot, has_mode);
}
