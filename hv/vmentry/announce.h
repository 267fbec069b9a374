/* The records with which the image starts. */
#pragma once

/* "vmentry": capability MSRs, CPUID leaves that checks of VM entry depend on, pages; then a "base" for
 * each base VMCS with all of its fields. */
void announce(void);
