/*
 * The local APIC, SDM 3A chapter 11 and APM 2 chapter 16: its timer ends time slices on processors that
 * have no timer of their own for guests. The hypervisor's interrupts stay off (RFLAGS.IF is 0) but in
 * the functions here that say otherwise.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Lets the machine's NMI line through, which is wired to LINT1 and masked by a reset. Without a local
 * APIC it is at the processor itself. */
void apic_admit_nmis(void);

/* Enables the local APIC, silences the 8259s, and measures the timer. False: there is no local APIC. */
bool apic_start(void);
void apic_stop(void);

/* A timer interrupt at this TSC time, or soon if that has passed; again and again until some are taken. */
void apic_set_deadline(uint64_t deadline);

/* An interrupt to ourselves, pending from now on. */
void apic_kick(void);

/* Takes the interrupts that are pending. */
void apic_take_interrupts(void);

/* Halts until an interrupt or an NMI, at the latest at this TSC time, and takes it. */
void apic_wait(uint64_t deadline);
