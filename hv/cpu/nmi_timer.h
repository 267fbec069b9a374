/*
 * A timer whose end is an NMI: counter 0 of the 8254, by way of the I/O APIC. For processors on which a
 * guest can hold interrupts off (svm/quirks.h).
 */
#pragma once

#include <stdint.h>

void nmi_timer_start(void);
void nmi_timer_stop(void);

/* One NMI at this TSC time, or at once if that has passed. It is no one else's: core/nmi.h. */
void nmi_timer_set(uint64_t deadline);
