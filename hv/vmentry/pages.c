#include "vmentry/pages.h"

#include "core/format.h"
#include "core/pages.h"
#include "core/records.h"
#include "cpu/msr.h"
#include "vmentry/guest.h"
#include "vmx/operation.h"

/* SDM 3C 25.2: bit 31 of a region's first word marks a shadow VMCS. */
#define SHADOW_VMCS (1u << 31)

static const char *const names[POINTED_PAGES] = {
    [PAGE_IO_BITMAP_A] = "io-bitmap-a",
    [PAGE_IO_BITMAP_B] = "io-bitmap-b",
    [PAGE_MSR_BITMAPS] = "msr-bitmaps",
    [PAGE_EXIT_MSR_STORE] = "exit-msr-store",
    [PAGE_EXIT_MSR_LOAD] = "exit-msr-load",
    [PAGE_ENTRY_MSR_LOAD] = "entry-msr-load",
    [PAGE_PML] = "pml",
    [PAGE_VIRTUAL_APIC] = "virtual-apic",
    [PAGE_APIC_ACCESS] = "apic-access",
    [PAGE_POSTED_INTERRUPTS] = "posted-interrupts",
    [PAGE_EPTP_LIST] = "eptp-list",
    [PAGE_VMREAD_BITMAP] = "vmread-bitmap",
    [PAGE_VMWRITE_BITMAP] = "vmwrite-bitmap",
    [PAGE_VE_INFORMATION] = "ve-information",
    [PAGE_LINKED_VMCS] = "linked-vmcs",
    [PAGE_PDPTES] = "pdptes",
};

static uint64_t *pages[POINTED_PAGES];

uint64_t *pointed_page(enum pointed_page page) {
    return pages[page];
}

/* Table 25-15: an entry is an index and a value. This MSR is no part of what the image lives on. */
static void fill_with_harmless_msr(uint64_t *area) {
    for (unsigned i = 0; i < WORDS_IN_PAGE; i += 2) {
        area[i] = (uint32_t)IA32_KERNEL_GS_BASE;
        area[i + 1] = 0;
    }
}

void pointed_pages_start(void) {
    for (unsigned i = 0; i < POINTED_PAGES; i++) {
        pages[i] = i == PAGE_PDPTES ? (uint64_t *)GUEST_PAE_PDPT : page_allocate();
    }
    fill_with_harmless_msr(pages[PAGE_EXIT_MSR_STORE]);
    fill_with_harmless_msr(pages[PAGE_EXIT_MSR_LOAD]);
    fill_with_harmless_msr(pages[PAGE_ENTRY_MSR_LOAD]);
    pages[PAGE_LINKED_VMCS][0] = ((uint32_t)vmx_capabilities.basic & 0x7fffffff) | SHADOW_VMCS;
}

/* Runs after every entry: at the speed of one instruction, not of memset's loop. */
static void clear_words(uint64_t *words, uint64_t count) {
    asm volatile("rep stosq" : "+D"(words), "+c"(count) : "a"(0ull) : "memory");
}

void pointed_pages_restore(void) {
    /* 30.1: virtual interrupts are delivered through this page. */
    clear_words(pages[PAGE_VIRTUAL_APIC], WORDS_IN_PAGE);
}

void pointed_pages_record(void) {
    record_open("pages");
    for (unsigned i = 0; i < POINTED_PAGES; i++) {
        record_hex(names[i], (uint64_t)pages[i]);
    }
    record_close();
    record_hex("linked_vmcs_word", pages[PAGE_LINKED_VMCS][0]);
    record_hex("pdpte_word", pages[PAGE_PDPTES][0]);
    record_hex("msr_area_index", (uint32_t)IA32_KERNEL_GS_BASE);
}
