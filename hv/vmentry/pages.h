/*
 * Pages that VMCS fields point at. Every base VMCS names them from the start, even where no control
 * uses them yet, so that turning a control on is a mutation that can succeed. Cases may change their
 * words (frames.h).
 */
#pragma once

#include <stdint.h>

enum pointed_page {
    PAGE_IO_BITMAP_A,
    PAGE_IO_BITMAP_B,
    PAGE_MSR_BITMAPS,
    PAGE_EXIT_MSR_STORE,
    PAGE_EXIT_MSR_LOAD,
    PAGE_ENTRY_MSR_LOAD,
    PAGE_PML,
    PAGE_VIRTUAL_APIC,
    PAGE_APIC_ACCESS,
    PAGE_POSTED_INTERRUPTS, /* the descriptor */
    PAGE_EPTP_LIST,
    PAGE_VMREAD_BITMAP,
    PAGE_VMWRITE_BITMAP,
    PAGE_VE_INFORMATION,
    PAGE_LINKED_VMCS, /* begins with the right revision identifier and the shadow indicator */
    PAGE_PDPTES,      /* of PAE paging; they count where there is no EPT (27.3.1.6) */
    POINTED_PAGES,
};

enum { WORDS_IN_PAGE = 512 };

void pointed_pages_start(void);
uint64_t *pointed_page(enum pointed_page page);

/* After the processor ran a guest: makes those that it may write as they were. */
void pointed_pages_restore(void);

/* Adds the object "pages" to the record being built: where each is, and its words that are not 0. */
void pointed_pages_record(void);
