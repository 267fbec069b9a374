// The one program that runs at a time, with its output relayed line by line.

#pragma once

#include <signal.h>
#include <sys/types.h>

#include "files.h"
#include "serve.h"

enum { LONGEST_LOG = 400 }; // bytes of one relayed line

struct run {
    char id[132];
    pid_t pid;  // 0: nothing runs
    int output; // the pipe that its stdout and stderr go into; -1: it has closed them
    size_t held;
    char line[LONGEST_LOG];
};

// Starts what `run ID BYTES` asks for, once no byte is left over on the data ports, and answers.
// False if the wire is at its end.
bool run_start(struct run *run, struct store *store, const struct channels *channels,
               const char *id, const char *size);

// Relays what the program has printed so far.
bool run_relay(struct run *run, const struct store *store);

// Ends the program and what it started.
void run_kill(const struct run *run);

// After its death: everything it wrote goes out, then `@ended`.
bool run_ended(struct run *run, const struct store *store, const struct channels *channels,
               int status);
