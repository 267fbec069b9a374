/* What the checks of EPT share. */
#pragma once

#include "check.h"
#include "stand_in_pages.h"
#include "vmx/ept.h"

#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define GIB (1ull << 30)

/*
 * IA32_VMX_EPT_VPID_CAP by the bits of SDM 3D A.10, written out so that controls.h is checked too.
 */
#define CAP_BASE         (1ull << 6 | 1ull << 8 | 1ull << 14 | 1ull << 20 | 1ull << 25 | 1ull << 26)
#define CAP_EXECUTE_ONLY (1ull << 0)
#define CAP_2M           (1ull << 16)
#define CAP_1G           (1ull << 17)
#define CAP_AD           (1ull << 21)
#define CAP_ALL          (CAP_BASE | CAP_EXECUTE_ONLY | CAP_2M | CAP_1G | CAP_AD)

enum { ADDRESS_BITS = 40 };

struct nested ept_with(uint64_t capabilities);

/* Stops it, and every page must be back. */
void ept_done(struct nested *ept);

/* The entry that decides about an address, to be changed as a processor or a mistake would. */
uint64_t *ept_last_entry(const struct nested *ept, uint64_t guest);

/* A number that says what all tables say, wherever they lie. */
uint64_t ept_digest(const struct nested *ept);
