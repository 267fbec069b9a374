// The appliance's files: a store that outlives runs, and one directory a run.
//
//   ROOT/files/NAME           what `put` brought, or what was there when the appliance started
//   ROOT/runs/RUN/            what a run leaves behind
//   ROOT/runs/RUN/boot/       the working directory of the run's program, with links into the store

#pragma once

#include <stdbool.h>

#include "wire.h"

struct store {
    const char *root;
    struct wire *wire;
};

// Each answers one request over the wire. False if the wire is at its end.
bool files_put(struct store *store, const char *name, const char *size, const char *crc);
bool files_have(struct store *store, const char *name);
bool files_drop(struct store *store, const char *name);
bool files_link(struct store *store, const char *run, const char *word, const char *name);
bool files_get(struct store *store, const char *run, const char *path);
bool files_forget(struct store *store, const char *run);

// Makes the directories of a run, and changes into its working directory. Both return 0 or -1 with
// errno; the second is for the run's own process.
int files_make_run(const struct store *store, const char *run);
int files_enter_run(const struct store *store, const char *run);

// Whether `text` can name a file or a run: one component of a path, of plain characters.
bool files_plain(const char *text);

// A decimal number up to `most`; false if `text` is anything else.
bool files_number(const char *text, unsigned long most, unsigned long *number);
