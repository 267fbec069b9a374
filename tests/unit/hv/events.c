/* vm/events.c against the manual's tables, and against a model of its own over random sequences. */
#include "vm/events.h"

#include "check.h"

enum { EXCEPTIONS = 32 };

static const struct event_blocking open = {false, false, false};

static struct event exception(uint8_t vector, bool has_error_code, uint32_t error_code) {
    return (struct event){.valid = true,
                          .type = EVENT_EXCEPTION,
                          .vector = vector,
                          .has_error_code = has_error_code,
                          .error_code = error_code};
}

static struct event take_when_open(struct events *events) {
    return events_take(events, open);
}

/* SDM 3A, table 6-4, as a letter a vector: benign, contributory, page fault, double fault. */
static const char classes[EXCEPTIONS + 1] = "cbbbbbbbdbccccpbbbbbpcbbbbbbbbbb";

/* SDM 3A, table 6-5, and the sentence on faults while #DF is delivered: as they are, double, triple. */
static char what_becomes(uint8_t first, uint8_t second) {
    bool severe = classes[second] == 'c' || classes[second] == 'p';
    switch (classes[first]) {
    case 'c': return classes[second] == 'c' ? 'd' : 's';
    case 'p': return severe ? 'd' : 's';
    case 'd': return severe ? 't' : 's';
    default: return 's';
    }
}

void check_two_exceptions_become_what_the_manual_says(void) {
    for (uint8_t first = 0; first < EXCEPTIONS; first++) {
        for (uint8_t second = 0; second < EXCEPTIONS; second++) {
            if (classes[second] == 'd') {
                continue; /* nothing raises #DF by itself */
            }
            struct events events = {0};
            events_restore(&events, exception(first, false, 0));
            events_raise_exception(&events, (enum exception_vector)second, true, 0x1234);
            struct event event = take_when_open(&events);
            switch (what_becomes(first, second)) {
            case 't': expect(events.triple_fault); break;
            case 'd':
                expect(!events.triple_fault && event.valid && event.type == EVENT_EXCEPTION);
                expect_equal(event.vector, VECTOR_DF);
                expect(event.has_error_code && event.error_code == 0);
                break;
            default:
                expect(!events.triple_fault && event.valid && event.type == EVENT_EXCEPTION);
                expect_equal(event.vector, second);
                expect(event.has_error_code && event.error_code == 0x1234);
                break;
            }
        }
    }
}

void check_only_exceptions_make_a_double_fault(void) {
    const enum event_type others[] = {EVENT_INTERRUPT, EVENT_NMI, EVENT_SOFTWARE_INTERRUPT,
                                      EVENT_PRIVILEGED_SOFTWARE_EXCEPTION,
                                      EVENT_SOFTWARE_EXCEPTION};
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct events events = {0};
        struct event first = {.valid = true, .type = others[i], .vector = VECTOR_GP};
        events_restore(&events, first);
        events_raise_exception(&events, VECTOR_GP, true, 7);
        struct event event = take_when_open(&events);
        expect_equal(event.vector, VECTOR_GP);
        expect_equal(event.error_code, 7);
    }
}

void check_an_interrupted_event_is_delivered_again_whole_and_first(void) {
    struct events events = {0};
    events_raise_nmi(&events);
    events_raise_interrupt(&events, 255);
    struct event event = {
        .valid = true, .type = EVENT_SOFTWARE_EXCEPTION, .vector = 3, .instruction_length = 1};
    events_restore(&events, event);
    const struct event_blocking closed = {true, true, true};
    struct event taken = events_take(&events, closed);
    expect(taken.valid && taken.type == EVENT_SOFTWARE_EXCEPTION);
    expect(taken.vector == 3 && taken.instruction_length == 1 && !taken.has_error_code);
    expect(!events_take(&events, closed).valid);
}

void check_nothing_is_taken_from_nothing(void) {
    struct events events = {0};
    expect(!take_when_open(&events).valid);
    expect(!events.any && !events_want_interrupt_window(&events));
    expect(!events_want_nmi_window(&events) && !events_end_halt(&events, open));
}

void check_every_kind_of_blocking_holds_back_what_it_should(void) {
    for (unsigned bits = 0; bits < 8; bits++) {
        const struct event_blocking blocking = {bits & 1, bits & 2, bits & 4};
        struct events nmi = {0}, interrupt = {0}, fault = {0};
        events_raise_nmi(&nmi);
        events_raise_interrupt(&interrupt, 32);
        events_raise_exception(&fault, VECTOR_UD, false, 0);
        expect_equal(events_take(&nmi, blocking).valid,
                     !blocking.in_nmi && !blocking.instruction_shadow);
        expect_equal(events_take(&interrupt, blocking).valid,
                     !blocking.interrupts_off && !blocking.instruction_shadow);
        expect(events_take(&fault, blocking).valid);
        expect(!nmi.any == !events_want_nmi_window(&nmi));
        expect(!interrupt.any == !events_want_interrupt_window(&interrupt));
        expect(!fault.any);
    }
}

void check_a_blocked_nmi_lets_interrupts_by(void) {
    struct events events = {0};
    events_raise_nmi(&events);
    events_raise_interrupt(&events, 40);
    struct event event = events_take(&events, (struct event_blocking){.in_nmi = true});
    expect(event.valid && event.type == EVENT_INTERRUPT && event.vector == 40);
    expect(events_want_nmi_window(&events));
    event = take_when_open(&events);
    expect(event.valid && event.type == EVENT_NMI && event.vector == 2);
}

void check_only_what_is_not_blocked_ends_a_halt(void) {
    const struct event_blocking interrupts_off = {.interrupts_off = true},
                                in_nmi = {.in_nmi = true};
    struct events events = {0};
    events_raise_interrupt(&events, 32);
    expect(events_end_halt(&events, open) && events_end_halt(&events, in_nmi));
    expect(!events_end_halt(&events, interrupts_off));
    events_raise_nmi(&events);
    expect(events_end_halt(&events, interrupts_off));
    struct events blocked = {0};
    events_raise_nmi(&blocked);
    expect(!events_end_halt(&blocked, in_nmi));
}

/* The model: which vectors wait, and what must come next. */
void check_random_sequences_lose_and_invent_nothing(void) {
    struct events events = {0};
    bool waiting[256] = {false}, nmi = false;
    for (unsigned step = 0; step < 300000; step++) {
        switch (random_below(4)) {
        case 0: {
            uint8_t vector = (uint8_t)(32 + random_below(224));
            waiting[vector] = true;
            events_raise_interrupt(&events, vector);
            break;
        }
        case 1:
            if (random_below(8) == 0) {
                nmi = true;
                events_raise_nmi(&events);
            }
            break;
        default: {
            uint64_t bits = random_number();
            const struct event_blocking blocking = {bits & 1, bits & 2, bits & 4};
            int highest = 255;
            while (highest >= 0 && !waiting[highest]) {
                highest--;
            }
            struct event event = events_take(&events, blocking);
            if (nmi && !blocking.in_nmi && !blocking.instruction_shadow) {
                expect(event.valid && event.type == EVENT_NMI);
                nmi = false;
            } else if (highest >= 0 && !blocking.interrupts_off && !blocking.instruction_shadow) {
                expect(event.valid && event.type == EVENT_INTERRUPT && !event.has_error_code);
                expect_equal(event.vector, highest);
                waiting[highest] = false;
            } else {
                expect(!event.valid);
            }
            break;
        }
        }
        bool any = false;
        for (unsigned vector = 0; vector < 256; vector++) {
            any |= waiting[vector];
        }
        expect_equal(events_want_interrupt_window(&events), any);
        expect_equal(events_want_nmi_window(&events), nmi);
        expect_equal(events.any, any || nmi);
    }
}

/* INTR's source, as the 8259 is one: it gives a vector once, and may ask again at once. */
static unsigned asked, more;

static uint8_t acknowledge(struct events *events) {
    asked++;
    events_set_external(events, more > 0);
    more -= more > 0;
    return 0x30;
}

void check_an_external_interrupt_is_acknowledged_only_when_it_is_taken(void) {
    struct events events = {.acknowledge = acknowledge};
    const struct event_blocking off = {.interrupts_off = true};
    const struct event_blocking shadow = {.instruction_shadow = true};
    events_set_external(&events, true);
    expect(events.any && events_want_interrupt_window(&events));
    expect(!events_take(&events, off).valid && !events_take(&events, shadow).valid);
    expect(!events_end_halt(&events, off) && events_end_halt(&events, open));
    expect_equal(asked, 0);
    struct event event = take_when_open(&events);
    expect(event.valid && event.type == EVENT_INTERRUPT);
    expect_equal(event.vector, 0x30);
    expect_equal(asked, 1);
    expect(!events.any && !events_want_interrupt_window(&events));
    expect(!take_when_open(&events).valid);
}

void check_an_external_interrupt_that_its_source_takes_back_is_gone(void) {
    struct events events = {.acknowledge = acknowledge};
    events_set_external(&events, true);
    events_set_external(&events, false);
    expect(!events.any && !take_when_open(&events).valid);
    expect_equal(asked, 0);
}

void check_an_external_interrupt_that_was_acknowledged_is_not_asked_for_again(void) {
    struct events events = {.acknowledge = acknowledge};
    events_set_external(&events, true);
    events_restore(&events, take_when_open(&events)); /* an exit interrupted its delivery */
    events_raise_exception(&events, VECTOR_PF, true, 0);
    expect_equal(take_when_open(&events).vector, VECTOR_PF);
    expect_equal(take_when_open(&events).vector, 0x30);
    expect_equal(asked, 1);
}

void check_exceptions_and_nmis_go_before_external_interrupts(void) {
    struct events events = {.acknowledge = acknowledge};
    more = 1;
    events_set_external(&events, true);
    events_raise_nmi(&events);
    events_raise_exception(&events, VECTOR_UD, false, 0);
    expect_equal(take_when_open(&events).vector, VECTOR_UD);
    expect_equal(take_when_open(&events).type, EVENT_NMI);
    expect_equal(take_when_open(&events).vector, 0x30);
    expect(events.any); /* the source wants another one */
    expect_equal(take_when_open(&events).vector, 0x30);
    expect(!events.any);
}
