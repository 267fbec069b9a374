/*
 * The PC that every guest sees: 8259 pair, 8254, 16550, clock, and the ports that end a machine. Pure
 * C without a hypervisor below it; time is given in ticks of the guest's TSC.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dev/uart.h"

enum platform_end { PLATFORM_RUNS, PLATFORM_EXIT, PLATFORM_RESET };

struct platform {
    struct uart uart;
    uint64_t deadline; /* guest TSC: when platform_advance has something to do; UINT64_MAX: never */
    bool interrupt;    /* the 8259s ask the processor for an interrupt */
    enum platform_end end;
    uint8_t exit_code; /* with PLATFORM_EXIT */
};

/* As after a reset. The clock reads boot_seconds, since 1970, at TSC 0; `put` takes what is printed. */
void platform_start(struct platform *platform, uint64_t tsc_hz, uint64_t boot_seconds,
                    void (*put)(void *context, uint8_t byte), void *context);

uint8_t platform_read(struct platform *platform, uint16_t port, uint64_t now);
void platform_write(struct platform *platform, uint16_t port, uint8_t value, uint64_t now);

/* Lets timers do what is due. */
void platform_advance(struct platform *platform, uint64_t now);

/* INTA: the vector that the processor takes; a spurious one if the request has gone meanwhile. */
uint8_t platform_acknowledge(struct platform *platform, uint64_t now);

/* A byte for the console; false: there is no room yet. */
bool platform_receive(struct platform *platform, uint8_t byte);
