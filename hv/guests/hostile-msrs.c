/*
 * Writes every MSR, the processor's and the hypervisors', with all bits set and with one bit changed.
 * All but its own must answer #GP, or not change.
 */
#include "cpu/msr.h"

#include "guests/checks.h"
#include "guests/interrupts.h"

static uint64_t value;

static void read(uint64_t msr) {
    value = rdmsr((enum msr)msr);
}

static void write(uint64_t msr) {
    wrmsr((enum msr)msr, value);
}

static bool may_be_changed(uint32_t msr) {
    return (msr >= IA32_SYSENTER_CS && msr <= IA32_SYSENTER_EIP) || msr == IA32_PAT ||
           msr == (uint32_t)IA32_EFER ||
           (msr >= (uint32_t)IA32_STAR && msr <= (uint32_t)IA32_FMASK) ||
           (msr >= (uint32_t)IA32_FS_BASE && msr <= (uint32_t)IA32_TSC_AUX);
}

/* Does what was written stay out? Faults other than #GP count as wrong. */
static bool refuses(uint32_t msr) {
    struct caught caught = attempt(read, msr);
    bool readable = !caught.any;
    bool good = readable || is(caught, VECTOR_GENERAL_PROTECTION, 0);
    uint64_t before = value;
    const uint64_t tries[] = {~0ull, before ^ 1, before | 1 << 11, 0};
    for (unsigned i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        value = tries[i];
        caught = attempt(write, msr);
        good = good && (!caught.any || is(caught, VECTOR_GENERAL_PROTECTION, 0));
        if (readable) {
            good = good && !attempt(read, msr).any && value == before;
        } else {
            good = good && caught.any; /* what can't be read can't be written either */
        }
    }
    return good;
}

static bool range_refuses(uint32_t first, uint32_t last) {
    bool good = true;
    for (uint32_t msr = first; msr <= last; msr++) {
        if (!may_be_changed(msr) && !refuses(msr)) {
            print("changed: ");
            print_hex(msr);
            print("\n");
            good = false;
        }
    }
    return good;
}

static bool efer_refuses(uint64_t bits) {
    value = rdmsr(IA32_EFER) ^ bits;
    return is(attempt(write, (uint32_t)IA32_EFER), VECTOR_GENERAL_PROTECTION, 0);
}

static bool refuses_value(enum msr msr, uint64_t bad) {
    value = bad;
    return is(attempt(write, (uint32_t)msr), VECTOR_GENERAL_PROTECTION, 0);
}

int guest_main(void) {
    interrupts_start();
    check("low MSRs, with APIC, MTRRs, DEBUGCTL and all of VMX", range_refuses(0, 0x7ff));
    check("x2APIC and above", range_refuses(0x800, 0xfff));
    check("high MSRs", range_refuses(0xc0000000, 0xc00003ff));
    check("SVM's", range_refuses(0xc0010110, 0xc0010120));
    check("those of hypervisors", range_refuses(0x40000000, 0x4000000f));
    check("the last one", range_refuses(0xfffffff0, 0xfffffffe));
    check("EFER without LME while paging", efer_refuses(1 << 8));
    check("EFER with SVME", efer_refuses(1 << 12));
    check("EFER with reserved bits", efer_refuses(1ull << 63) && efer_refuses(1 << 1));
    check("PAT with a type that does not exist", refuses_value(IA32_PAT, 0x0007040600070402));
    return checks_done();
}
