/*
 * The image of `hv fuzz vmentry`: has a good VMCS for each mode of a guest, says in records what they
 * hold and what the processor offers, and then tries what the harness sends: each case changes some
 * fields of one of them, and is answered by what VM entry made of it.
 */
#include "core/console.h"
#include "core/format.h"
#include "core/panic.h"
#include "core/power.h"
#include "core/records.h"
#include "core/refuse.h"
#include "core/start.h"
#include "vm/boot_record.h"
#include "vm/virt.h"
#include "vmentry/announce.h"
#include "vmentry/attempt.h"
#include "vmentry/bases.h"
#include "vmentry/frames.h"
#include "vmentry/guest.h"
#include "vmentry/host.h"
#include "vmentry/pages.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

enum { OUTCOME_SIZE = 32 }; /* characters, at most: "x65535.18446744073709551615 " */

static char outcomes[MOST_CASES * OUTCOME_SIZE];
static unsigned outcomes_length;

static void add_outcome(const char *kind, uint64_t number) {
    outcomes_length += (unsigned)format(outcomes + outcomes_length, OUTCOME_SIZE, "%s%s%lx",
                                        outcomes_length ? " " : "", kind, number);
}

static void add_attempt(struct attempt attempt) {
    switch (attempt.kind) {
    case ATTEMPT_FAILED_INVALID: add_outcome("i", 0); break;
    case ATTEMPT_FAILED_VALID: add_outcome("f", attempt.number); break;
    case ATTEMPT_ENTERED: add_outcome("e", attempt.number); break;
    case ATTEMPT_REFUSED:
        add_outcome("x", attempt.number);
        outcomes_length += (unsigned)format(outcomes + outcomes_length, OUTCOME_SIZE, ".%lx",
                                            attempt.qualification);
        break;
    }
}

/* Words of pointed pages that a case changes, to be put back. */
static struct {
    uint64_t *word, before;
} changed_words[MOST_WRITES];
static unsigned changed_words_count;

static bool change(const struct write *write) {
    if (write->encoding >> 15) {
        unsigned page = write->encoding >> 9 & 0x3f;
        if (page >= POINTED_PAGES) {
            return false;
        }
        uint64_t *word = &pointed_page(page)[write->encoding % WORDS_IN_PAGE];
        changed_words[changed_words_count].word = word;
        changed_words[changed_words_count++].before = *word;
        *word = write->value;
        return true;
    }
    return vmwrite(write->encoding, write->value) == VMX_SUCCEED;
}

static void undo(const struct base *base, const struct entry_case *one, unsigned fields) {
    for (unsigned i = 0; i < fields; i++) {
        const uint64_t *value = field_value(&base->values, one->writes[i].encoding);
        if (value) {
            vmcs_write(one->writes[i].encoding, *value);
        }
    }
    while (changed_words_count) { /* backwards: a word may have been changed twice */
        changed_words_count--;
        *changed_words[changed_words_count].word = changed_words[changed_words_count].before;
    }
}

static void try_case(const struct entry_case *one) {
    static const struct base *current;
    const struct base *base = one->base < BASES ? &bases[one->base] : 0;
    if (!base || !base->present) {
        add_outcome("b", one->base);
        return;
    }
    if (base != current) {
        base_load(base);
        current = base;
    }
    unsigned done = 0;
    while (done < one->count && change(&one->writes[done])) {
        done++;
    }
    if (done == one->count) {
        add_attempt(attempt_entry(base));
    } else {
        add_outcome("u", one->writes[done].encoding); /* this processor has no such field */
    }
    undo(base, one, done);
}

static void answer(const struct frame *frame, unsigned cases, bool well_formed) {
    record_begin("answers");
    record_number("frame", frame->number);
    record_number("cases", cases);
    record_flag("damaged", !well_formed);
    record_text("outcomes", outcomes_length ? outcomes : "");
    record_end();
}

static void try_frame(const struct frame *frame) {
    struct entry_case one;
    unsigned cases = 0;
    bool well_formed = true;
    outcomes_length = 0;
    for (unsigned offset = 0; offset < frame->length && well_formed;) {
        well_formed = cases < MOST_CASES && frame_case(frame, &offset, &one);
        if (well_formed) {
            try_case(&one);
            cases++;
        }
    }
    answer(frame, cases, well_formed);
}

noreturn void image_main(void) {
    virt_choose();
    vm_record_boot();
    if (virt != &vmx) {
        refuse("no-vmx", "this image tries VM entries of VT-x, which this CPU has not");
    }
    vmx_start();
    host_start();
    guest_start();
    pointed_pages_start();
    bases_start();
    announce();
    print("vmentry", "waiting for cases on COM2");

    static struct frame frame;
    for (;;) {
        if (!frame_receive(&frame)) {
            outcomes_length = 0;
            answer(&frame, 0, false);
        } else if (frame.length) {
            try_frame(&frame);
        } else {
            break;
        }
    }
    power_off_with_record("ok", POWER_OK);
}
