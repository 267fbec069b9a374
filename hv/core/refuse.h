/* Ends the boot because this machine or these options can't be used: says why, then powers off. */
#pragma once

#include <stdnoreturn.h>

/* `reason` is a word for programs (no-vmx, bad-option, ...); the text is one sentence for people. */
noreturn void refuse(const char *reason, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
