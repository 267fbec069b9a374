/*
 * What is to be delivered to a guest at its next entry: an exception, an NMI, an interrupt. Pure
 * bookkeeping, compiled for the host too; the vendor's half asks it what to inject.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The hardware's own encoding of event types, the same for Intel (SDM 3C, table 25-15) and here. */
enum event_type {
    EVENT_INTERRUPT = 0,
    EVENT_NMI = 2,
    EVENT_EXCEPTION = 3,
    EVENT_SOFTWARE_INTERRUPT = 4,
    EVENT_PRIVILEGED_SOFTWARE_EXCEPTION = 5, /* INT1 */
    EVENT_SOFTWARE_EXCEPTION = 6,            /* INT3, INTO */
};

enum exception_vector {
    VECTOR_DE = 0,
    VECTOR_DB = 1,
    VECTOR_UD = 6,
    VECTOR_DF = 8,
    VECTOR_TS = 10,
    VECTOR_NP = 11,
    VECTOR_SS = 12,
    VECTOR_GP = 13,
    VECTOR_PF = 14,
    VECTOR_AC = 17,
    VECTOR_MC = 18,
    VECTOR_VE = 20,
    VECTOR_CP = 21,
};

struct event {
    bool valid;
    enum event_type type;
    uint8_t vector;
    bool has_error_code;
    uint32_t error_code;
    uint8_t instruction_length; /* for the software events */
};

struct events {
    struct event now; /* an exception, or what an exit interrupted: goes before all else */
    bool triple_fault;
    bool nmi;
    uint64_t interrupts[4]; /* a bit a vector */
    bool external;          /* INTR: a level, which its source may take back */
    bool any;               /* anything above: the one word that the exit path looks at */

    /* INTA: asks INTR's source for the vector, now that the guest takes it; sets `external` anew. */
    uint8_t (*acknowledge)(struct events *events);
};

/* Why an interrupt can't be taken at the moment. */
struct event_blocking {
    bool interrupts_off;     /* RFLAGS.IF is 0 */
    bool instruction_shadow; /* just after STI or MOV SS */
    bool in_nmi;             /* until IRET */
};

/* Queues an exception. What was being delivered already makes it a double or triple fault
 * (SDM 3A, table 6-5). */
void events_raise_exception(struct events *events, enum exception_vector vector,
                            bool has_error_code, uint32_t error_code);
void events_raise_nmi(struct events *events);
void events_raise_interrupt(struct events *events, uint8_t vector);
void events_set_external(struct events *events, bool level);

/* An event whose delivery an exit interrupted: it is delivered again. */
void events_restore(struct events *events, struct event event);

/* Takes what can be delivered now, in the order of SDM 3A 6.9; .valid is false for nothing. */
struct event events_take(struct events *events, struct event_blocking blocking);

/* What waits for the guest to become ready. */
bool events_want_interrupt_window(const struct events *events);
bool events_want_nmi_window(const struct events *events);

/* Would anything here end a HLT? What is blocked would not. */
bool events_end_halt(const struct events *events, struct event_blocking blocking);
