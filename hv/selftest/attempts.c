#include "selftest/attempts.h"

#include <stdbool.h>

#include "core/traps.h"
#include "cpu/descriptors.h"

enum { RFLAGS_CF = 1 << 0, RFLAGS_ZF = 1 << 6 };

/* Shared with attempts.S. */
extern uint64_t fault_resume;
extern uint32_t fault_outcome;
extern uint64_t fault_resume_rsp;
uint64_t fault_resume;     /* where to go on after a fault; 0: no attempt is under way */
uint32_t fault_outcome;    /* FAULTED plus the vector */
uint64_t fault_resume_rsp; /* likewise, where the fault was in ring 3 */

uint64_t fault_error_code;

static bool recover(struct trap_frame *frame) {
    if (!fault_resume) {
        return false;
    }
    fault_outcome = FAULTED + (uint32_t)frame->vector;
    fault_error_code = frame->error_code;
    frame->rip = fault_resume;
    if (frame->cs & 3) {
        frame->cs = SELECTOR_CODE;
        frame->ss = SELECTOR_DATA;
        frame->rsp = fault_resume_rsp;
    }
    frame->rflags &= ~(uint64_t)(RFLAGS_CF | RFLAGS_ZF);
    fault_resume = 0;
    return true;
}

void attempts_start(void) {
    trap_recover = recover;
}
