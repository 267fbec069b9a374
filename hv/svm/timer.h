/* What ends a guest's time slice: there is no timer that belongs to guests. */
#pragma once

#include <stdint.h>

/* After svm_quirks_try: the local APIC's one, or where that can be held off, an NMI. */
void svm_timer_start(void);
void svm_timer_stop(void);

/* An exit at this TSC time, or a little early, or at once if it has passed. */
void svm_timer_set(uint64_t deadline);

/* Lets the processor wait until then, or for an interrupt or NMI before. */
void svm_timer_wait(uint64_t deadline);
