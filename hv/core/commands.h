/*
 * What the harness may ask of a running hypervisor: a line of words on COM2, answered by a record.
 *
 *     pci                 the record `pci`: which functions are on the PCI buses now
 *     hold                the record `held`; then no guest runs until `go-on`
 *     focus GUEST         the record `focus`: the console is this guest's from now on; only where
 *                         one had it already, by the boot word console=
 *     map GUEST ADDRESS   the record `map`: how a guest-physical address is translated
 *
 * Anything else is answered by the record `unknown-command`.
 */
#pragma once

#include <stdbool.h>

struct command {
    const char *word;
    bool (*run)(const char *arguments); /* false: the arguments make no sense */
};

/* Makes known what layers above offer: one table, which stays where it is. */
void commands_add(const struct command *table, unsigned count);

/*
 * Takes in what has come, and carries out a command that is complete. Cheap where nothing has come:
 * one port read. Call it where no record is being built; the scheduler does, at the end of a slice.
 */
void commands_poll(void);
