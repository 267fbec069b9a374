/* x87, SSE and AVX registers of a vCPU while another one runs. SDM 1, chapter 13. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define XCR0_X87 (1ull << 0)
#define XCR0_SSE (1ull << 1)
#define XCR0_AVX (1ull << 2)

/* The XSAVE area comes first, since it must be 64-byte aligned. Fits one page. */
struct xstate {
    uint8_t area[2048];
    uint64_t xcr0; /* the guest's own */
};

/* Once, before any VM: turns XSAVE on for the hypervisor where the processor has it. */
void xstate_start(void);

/* The bits that guests may set in XCR0; 0 where there is no XSAVE. */
uint64_t xstate_allowed(void);
bool xstate_xcr0_is_good(uint64_t value);

struct xstate *xstate_create(void); /* as after reset, SDM 3A table 9-1; NULL: out of memory */
void xstate_free(struct xstate *state);

void xstate_save(struct xstate *state);
void xstate_load(const struct xstate *state);

/* The guest that runs changes its XCR0, at once. */
void xstate_set_xcr0(struct xstate *state, uint64_t value);
