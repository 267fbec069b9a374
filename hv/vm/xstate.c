#include "vm/xstate.h"

#include <assert.h>

#include "core/pages.h"
#include "cpu/control.h"
#include "cpu/cpuid.h"

static_assert(sizeof(struct xstate) <= PAGE_SIZE, "one page each");

static uint64_t allowed; /* 0: no XSAVE, so FXSAVE moves x87 and SSE */

static void xsetbv(uint64_t value) {
    asm volatile("xsetbv" : : "c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static uint64_t xgetbv(void) {
    uint32_t low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

void xstate_start(void) {
    write_cr4(read_cr4() | CR4_OSFXSR);
    if (!(cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE)) {
        return;
    }
    write_cr4(read_cr4() | CR4_OSXSAVE);
    /* CPUID leaf 0DH: EDX:EAX are the bits that XCR0 can have. More than AVX is not offered. */
    struct cpuid leaf = cpuid(0xd, 0);
    allowed = (((uint64_t)leaf.edx << 32) | leaf.eax) & (XCR0_X87 | XCR0_SSE | XCR0_AVX);
    xsetbv(allowed);
}

uint64_t xstate_allowed(void) {
    return allowed;
}

/* SDM 2D, XSETBV: x87 always, AVX only with SSE. */
bool xstate_xcr0_is_good(uint64_t value) {
    return value & XCR0_X87 && !(value & ~allowed) && !(value & XCR0_AVX && !(value & XCR0_SSE));
}

struct xstate *xstate_create(void) {
    struct xstate *state = pages_allocate(1, 1);
    if (state) {
        *(uint16_t *)&state->area[0] = 0x37f;   /* FCW, by FNINIT: all exceptions masked */
        *(uint32_t *)&state->area[24] = 0x1f80; /* MXCSR */
        /* XSTATE_BV: x87 and SSE come from the area; what is not named gets its initial state. */
        *(uint64_t *)&state->area[512] = XCR0_X87 | XCR0_SSE;
        state->xcr0 = XCR0_X87;
    }
    return state;
}

void xstate_free(struct xstate *state) {
    pages_free(state, 1);
}

/* With all bits on, whatever the guest has in XCR0: it may have hidden a register, not emptied it. */
void xstate_save(struct xstate *state) {
    if (allowed) {
        state->xcr0 = xgetbv() & allowed; /* not every processor's XSETBV exits: QEMU's TCG */
        xsetbv(allowed);
        asm volatile("xsave64 %0"
                     : "+m"(state->area)
                     : "a"((uint32_t)allowed), "d"((uint32_t)(allowed >> 32)));
    } else {
        asm volatile("fxsave64 %0" : "=m"(state->area));
    }
}

void xstate_load(const struct xstate *state) {
    if (allowed) {
        xsetbv(allowed);
        asm volatile("xrstor64 %0"
                     :
                     : "m"(state->area), "a"((uint32_t)allowed), "d"((uint32_t)(allowed >> 32)));
        xsetbv(state->xcr0);
    } else {
        asm volatile("fxrstor64 %0" : : "m"(state->area));
    }
}

void xstate_set_xcr0(struct xstate *state, uint64_t value) {
    state->xcr0 = value;
    xsetbv(value);
}
