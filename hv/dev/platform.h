/*
 * The PC that every guest sees: 8259 pair, 8254, 16550, clock, and the ports that end a machine. Pure
 * C without a hypervisor below it; time is given in ticks of the guest's TSC, which began at 0.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dev/pic.h"
#include "dev/pit.h"
#include "dev/power_ports.h"
#include "dev/rtc.h"
#include "dev/uart.h"

struct platform {
    struct pic pic;
    struct pit pit;
    struct uart uart;
    struct rtc rtc;
    struct power_ports power; /* whether the guest has ended its machine, too */
    uint64_t deadline;        /* when platform_advance has something to do; UINT64_MAX: never */
    bool interrupt;           /* the 8259s ask the processor for an interrupt */
};

/* As after a reset. The clock reads boot_seconds, since 1970, at TSC 0; `put` takes what is printed. */
void platform_start(struct platform *platform, uint64_t tsc_hz, uint64_t boot_seconds,
                    void (*put)(void *context, uint8_t byte), void *context);

/* IN and OUT of 1, 2 or 4 bytes; of a value that is written the others don't count. */
uint32_t platform_read(struct platform *platform, uint16_t port, unsigned size, uint64_t now);
void platform_write(struct platform *platform, uint16_t port, unsigned size, uint32_t value,
                    uint64_t now);

/* Lets timers do what is due; `deadline` is after `now` then. */
void platform_advance(struct platform *platform, uint64_t now);

/* INTA: the vector that the processor takes; a spurious one if the request has gone meanwhile. */
uint8_t platform_acknowledge(struct platform *platform, uint64_t now);

/* A byte for the console; false: there is no room yet. */
bool platform_receive(struct platform *platform, uint8_t byte);
bool platform_has_room(const struct platform *platform);
