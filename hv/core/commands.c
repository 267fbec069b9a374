#include "core/commands.h"

#include <stddef.h>
#include <stdint.h>

#include "core/pci.h"
#include "core/records.h"
#include "core/serial.h"
#include "core/string.h"
#include "core/words.h"

enum { LONGEST = 128 };

static char line[LONGEST + 1];
static size_t length; /* of the line so far; more than LONGEST: the rest was dropped */

static const struct command *added;
static unsigned added_count;

void commands_add(const struct command *table, unsigned count) {
    added = table;
    added_count = count;
}

static bool list_pci(const char *arguments) {
    (void)arguments;
    pci_record();
    return true;
}

static bool held;

/* Keeps every guest waiting, so that whoever looks at the machine finds the hypervisor running. */
static bool hold(const char *arguments) {
    (void)arguments;
    bool already = held;
    held = true;
    record_begin("held");
    record_end();
    while (held && !already) {
        commands_poll();
    }
    return true;
}

static bool go_on(const char *arguments) {
    (void)arguments;
    held = false;
    return true;
}

static const struct command own[] = {
    {"hold", hold},
    {"go-on", go_on},
    {"pci", list_pci},
};

static bool run_from(const struct command *table, size_t count, const char *word,
                     const char *arguments) {
    for (size_t i = 0; i < count; i++) {
        if (text_equal(word, table[i].word)) {
            return table[i].run(arguments);
        }
    }
    return false;
}

static void carry_out(void) {
    const char *arguments = line;
    struct word word;
    bool whole = length <= LONGEST;
    line[whole ? length : LONGEST] = '\0';
    length = 0; /* the next line begins, perhaps within this command */
    bool done = whole && word_next(&arguments, &word) == WORD_OK &&
                (run_from(own, sizeof own / sizeof own[0], word.key, arguments) ||
                 run_from(added, added_count, word.key, arguments));
    if (!done) {
        record_begin("unknown-command");
        record_text("text", line);
        record_end();
    }
}

void commands_poll(void) {
    /* No more than the UART holds: whoever floods it must not keep the guests waiting. */
    uint8_t byte;
    for (unsigned i = 0; i < SERIAL_FIFO_DEPTH && serial_read(SERIAL_COM2, &byte); i++) {
        if (byte == '\n') {
            carry_out();
        } else if (length < LONGEST) {
            line[length++] = (char)byte;
        } else {
            length = LONGEST + 1;
        }
    }
}
