#include "svm/timer.h"

#include "cpu/apic.h"
#include "cpu/nmi_timer.h"
#include "cpu/port.h"
#include "svm/quirks.h"

void svm_timer_start(void) {
    if (svm_quirks.interrupts_off_hold_exits) {
        nmi_timer_start();
    }
}

void svm_timer_stop(void) {
    if (svm_quirks.interrupts_off_hold_exits) {
        nmi_timer_stop();
    }
}

void svm_timer_set(uint64_t deadline) {
    if (svm_quirks.interrupts_off_hold_exits) {
        nmi_timer_set(deadline);
    } else {
        apic_set_deadline(deadline);
    }
}

void svm_timer_wait(uint64_t deadline) {
    if (!svm_quirks.interrupts_off_hold_exits) {
        apic_wait(deadline);
        return;
    }
    while (rdtsc() < deadline) { /* an NMI just before HLT would be missed */
        asm volatile("pause");
    }
}
