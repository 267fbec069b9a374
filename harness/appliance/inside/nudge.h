// Takes the processor away from guests that give Linux no chance to.

#pragma once

// Has a non-maskable interrupt come 100 times a second. Returns 0, or -1 with errno.
int nudge_start(void);
