/*
 * Which guest has the console for itself: what comes in on COM1 is for it, and what it prints goes out
 * as it is (core/foreground.h). Without the boot word console=NAME nobody has: every guest prints whole
 * lines, and nothing is looked for on COM1. The command `focus` changes it, and so does the end of the
 * guest that has it.
 */
#pragma once

#include "vm/vm.h"

/* Gives it to the guest of this name, or if that could not start to the next that lives. */
void focus_start(struct vm *vms, unsigned count, const char *name);

/* Gives it to this guest; false: it has ended, or nobody has the focus at all. */
bool focus_give(struct vm *vm);

/* This guest has ended: if it had the focus the next one gets it. */
void focus_pass_on(const struct vm *ended);

/* Takes what has come on COM1 to the guest, as far as that has room for it. */
void focus_poll(void);

/* The TSC time by which that must be done again; UINT64_MAX: never. */
uint64_t focus_next_poll(void);

/* Can anything come for this guest? Whoever has not got the focus may get it. */
bool focus_may_wake(const struct vm *vm);
