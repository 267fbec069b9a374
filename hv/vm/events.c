#include "vm/events.h"

static void note(struct events *events) {
    events->any = events->now.valid || events->triple_fault || events->nmi ||
                  events_want_interrupt_window(events);
}

/* SDM 3A, table 6-4 */
enum exception_class { BENIGN, CONTRIBUTORY, PAGE_FAULT };

static enum exception_class class_of(uint8_t vector) {
    switch (vector) {
    case VECTOR_PF:
    case VECTOR_VE: return PAGE_FAULT;
    case VECTOR_DE:
    case VECTOR_TS:
    case VECTOR_NP:
    case VECTOR_SS:
    case VECTOR_GP:
    case VECTOR_CP: return CONTRIBUTORY;
    default: return BENIGN;
    }
}

/* SDM 3A, table 6-5: does a second exception while the first is delivered become a double fault? */
static bool makes_double_fault(uint8_t first, uint8_t second) {
    enum exception_class class = class_of(second);
    switch (class_of(first)) {
    case CONTRIBUTORY: return class == CONTRIBUTORY;
    case PAGE_FAULT: return class != BENIGN;
    case BENIGN: break;
    }
    return false;
}

void events_raise_exception(struct events *events, enum exception_vector vector,
                            bool has_error_code, uint32_t error_code) {
    const struct event *first = &events->now;
    if (first->valid && first->type == EVENT_EXCEPTION) {
        if (first->vector == VECTOR_DF && class_of((uint8_t)vector) != BENIGN) {
            events->triple_fault = true;
            note(events);
            return;
        }
        if (makes_double_fault(first->vector, (uint8_t)vector)) {
            vector = VECTOR_DF;
            has_error_code = true;
            error_code = 0;
        }
    }
    /* A benign exception is lost on purpose: the instruction that raised it will do so again. But an
     * interrupt or NMI comes from outside, once: it waits until the exception is delivered. */
    if (first->valid && first->type == EVENT_INTERRUPT) {
        events_raise_interrupt(events, first->vector);
    } else if (first->valid && first->type == EVENT_NMI) {
        events_raise_nmi(events);
    }
    events->now = (struct event){.valid = true,
                                 .type = EVENT_EXCEPTION,
                                 .vector = (uint8_t)vector,
                                 .has_error_code = has_error_code,
                                 .error_code = error_code};
    note(events);
}

void events_raise_nmi(struct events *events) {
    events->nmi = true;
    note(events);
}

void events_raise_interrupt(struct events *events, uint8_t vector) {
    events->interrupts[vector / 64] |= 1ull << vector % 64;
    note(events);
}

void events_set_external(struct events *events, bool level) {
    events->external = level;
    note(events);
}

void events_restore(struct events *events, struct event event) {
    events->now = event;
    note(events);
}

static struct event take_interrupt(struct events *events) {
    if (events->external) {
        uint8_t vector = events->acknowledge(events);
        return (struct event){.valid = true, .type = EVENT_INTERRUPT, .vector = vector};
    }
    for (int word = 3; word >= 0; word--) { /* the highest vector has the highest priority */
        if (events->interrupts[word]) {
            int bit = 63 - __builtin_clzll(events->interrupts[word]);
            events->interrupts[word] &= ~(1ull << bit);
            return (struct event){
                .valid = true, .type = EVENT_INTERRUPT, .vector = (uint8_t)(word * 64 + bit)};
        }
    }
    return (struct event){.valid = false};
}

struct event events_take(struct events *events, struct event_blocking blocking) {
    struct event event = events->now;
    if (event.valid) {
        events->now.valid = false;
    } else if (events->nmi && !blocking.in_nmi && !blocking.instruction_shadow) {
        events->nmi = false;
        event = (struct event){.valid = true, .type = EVENT_NMI, .vector = 2};
    } else if (!blocking.interrupts_off && !blocking.instruction_shadow) {
        event = take_interrupt(events);
    }
    note(events);
    return event;
}

bool events_want_interrupt_window(const struct events *events) {
    return events->external || events->interrupts[0] || events->interrupts[1] ||
           events->interrupts[2] || events->interrupts[3];
}

bool events_want_nmi_window(const struct events *events) {
    return events->nmi;
}

bool events_end_halt(const struct events *events, struct event_blocking blocking) {
    return events->now.valid || (events->nmi && !blocking.in_nmi) ||
           (!blocking.interrupts_off && events_want_interrupt_window(events));
}
