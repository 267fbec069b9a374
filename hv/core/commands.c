#include "core/commands.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/pci.h"
#include "core/records.h"
#include "core/serial.h"
#include "core/string.h"

static const struct {
    const char *word;
    void (*run)(void);
} commands[] = {
    {"pci", pci_record}, /* the record `pci`: which functions are on the PCI buses now */
};

enum { LONGEST = 32 };

static char line[LONGEST + 1];
static size_t length; /* of the line so far; more than LONGEST: the rest was dropped */

static void carry_out(void) {
    line[length < LONGEST ? length : LONGEST] = 0;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (length <= LONGEST && text_equal(line, commands[i].word)) {
            commands[i].run();
            return;
        }
    }
    record_begin("unknown-command");
    record_text("text", line);
    record_end();
}

void commands_poll(void) {
    /* No more than the UART holds: whoever floods it must not keep the guests waiting. */
    uint8_t byte;
    for (unsigned i = 0; i < SERIAL_FIFO_DEPTH && serial_read(SERIAL_COM2, &byte); i++) {
        if (byte == '\n') {
            carry_out();
            length = 0;
        } else if (length < LONGEST) {
            line[length++] = (char)byte;
        } else {
            length = LONGEST + 1;
        }
    }
}
