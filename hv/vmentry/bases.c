#include "vmentry/bases.h"

#include "core/pages.h"
#include "core/panic.h"
#include "cpu/control.h"
#include "cpu/cpuid.h"
#include "cpu/descriptors.h"
#include "cpu/msr.h"
#include "vmentry/attempt.h"
#include "vmentry/guest.h"
#include "vmentry/pages.h"
#include "vmx/controls.h"
#include "vmx/ept.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

enum mode { MODE_LONG, MODE_PROTECTED, MODE_PAE, MODE_VIRTUAL_8086, MODE_REAL };

struct base bases[BASES] = {
    [MODE_LONG] = {.name = "long"}, [MODE_PROTECTED] = {.name = "protected"},
    [MODE_PAE] = {.name = "pae"},   [MODE_VIRTUAL_8086] = {.name = "v86"},
    [MODE_REAL] = {.name = "real"},
};

/* Ticks until the safety net (27.7.4) brings back a guest that does not exit by itself, such as one
 * that entered the HLT activity state. */
enum { PATIENCE = 400 };

enum { RFLAGS_RESERVED_1 = 1 << 1, RFLAGS_IOPL_3 = 3 << 12, RFLAGS_VM = 1 << 17 };

/* Table 25-2 */
enum rights {
    CODE_64 = 0xa09b,
    CODE_32 = 0xc09b,
    CODE_16 = 0x9b,
    DATA_32 = 0xc093,
    DATA_16 = 0x93,
    VIRTUAL_8086 = 0xf3,
    BUSY_TSS = 0x8b,
    UNUSABLE = 0x10000,
};

/* Everything that this processor has no field for stays away. */
static void write_if_there(enum vmcs_field field, uint64_t value) {
    uint64_t ignored;
    if (vmread(field, &ignored) == VMX_SUCCEED) {
        vmcs_write_named(field, value, "a field", __func__);
    }
}

static uint32_t allowed(struct vmx_control_limits limits, uint32_t wanted) {
    return (wanted | limits.required) & limits.allowed;
}

static void set_pointers(void) {
    static const struct {
        enum vmcs_field field;
        enum pointed_page page;
    } pointers[] = {
        {IO_BITMAP_A, PAGE_IO_BITMAP_A},
        {IO_BITMAP_B, PAGE_IO_BITMAP_B},
        {MSR_BITMAPS, PAGE_MSR_BITMAPS},
        {VM_EXIT_MSR_STORE_ADDRESS, PAGE_EXIT_MSR_STORE},
        {VM_EXIT_MSR_LOAD_ADDRESS, PAGE_EXIT_MSR_LOAD},
        {VM_ENTRY_MSR_LOAD_ADDRESS, PAGE_ENTRY_MSR_LOAD},
        {PML_ADDRESS, PAGE_PML},
        {VIRTUAL_APIC_ADDRESS, PAGE_VIRTUAL_APIC},
        {APIC_ACCESS_ADDRESS, PAGE_APIC_ACCESS},
        {POSTED_INTERRUPT_DESCRIPTOR_ADDRESS, PAGE_POSTED_INTERRUPTS},
        {EPTP_LIST_ADDRESS, PAGE_EPTP_LIST},
        {VMREAD_BITMAP_ADDRESS, PAGE_VMREAD_BITMAP},
        {VMWRITE_BITMAP_ADDRESS, PAGE_VMWRITE_BITMAP},
        {VIRTUALIZATION_EXCEPTION_INFORMATION_ADDRESS, PAGE_VE_INFORMATION},
    };
    for (unsigned i = 0; i < sizeof pointers / sizeof pointers[0]; i++) {
        write_if_there(pointers[i].field, (uint64_t)pointed_page(pointers[i].page));
    }
}

static void set_controls(enum mode mode, uint64_t eptp) {
    const struct vmx_capabilities *c = &vmx_capabilities;
    vmcs_write(PIN_BASED_CONTROLS,
               allowed(c->pin, PIN_EXTERNAL_INTERRUPT_EXITING | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS |
                                   PIN_ACTIVATE_PREEMPTION_TIMER));
    vmcs_write(PRIMARY_PROCESSOR_BASED_CONTROLS,
               allowed(c->primary, PRIMARY_HLT_EXITING | PRIMARY_ACTIVATE_SECONDARY_CONTROLS));
    vmcs_write(SECONDARY_PROCESSOR_BASED_CONTROLS,
               allowed(c->secondary, SECONDARY_ENABLE_EPT | SECONDARY_ENABLE_VPID |
                                         (mode == MODE_REAL ? SECONDARY_UNRESTRICTED_GUEST : 0)));
    vmcs_write(
        PRIMARY_VM_EXIT_CONTROLS,
        allowed(c->exit, EXIT_HOST_ADDRESS_SPACE_SIZE | EXIT_LOAD_IA32_EFER | EXIT_LOAD_IA32_PAT));
    vmcs_write(VM_ENTRY_CONTROLS,
               allowed(c->entry, ENTRY_LOAD_DEBUG_CONTROLS | ENTRY_LOAD_IA32_EFER |
                                     ENTRY_LOAD_IA32_PAT |
                                     (mode == MODE_LONG ? ENTRY_IA32E_MODE_GUEST : 0)));
    vmcs_write(EXCEPTION_BITMAP, ~0u);
    vmcs_write(EPT_POINTER, eptp);
    write_if_there(VIRTUAL_PROCESSOR_IDENTIFIER, 1);
    write_if_there(PML_INDEX, 511);
    write_if_there(EPTP_INDEX, 0);
    write_if_there(TSC_MULTIPLIER, 1ull << 48);
    write_if_there(VMX_PREEMPTION_TIMER_VALUE, PATIENCE);
}

/* 27.2.2. RIP is the stub's; RSP is written by it. */
static void set_host_state(void) {
    vmcs_write(HOST_CR0, read_cr0());
    vmcs_write(HOST_CR3, read_cr3());
    vmcs_write(HOST_CR4, read_cr4());
    vmcs_write(HOST_CS_SELECTOR, SELECTOR_CODE);
    vmcs_write(HOST_SS_SELECTOR, SELECTOR_DATA);
    vmcs_write(HOST_DS_SELECTOR, SELECTOR_DATA);
    vmcs_write(HOST_ES_SELECTOR, SELECTOR_DATA);
    vmcs_write(HOST_TR_SELECTOR, SELECTOR_TSS);
    vmcs_write(HOST_TR_BASE, descriptors_tss_base());
    vmcs_write(HOST_GDTR_BASE, descriptors_gdt_base());
    vmcs_write(HOST_IDTR_BASE, descriptors_idt_base());
    write_if_there(HOST_IA32_EFER, rdmsr(IA32_EFER));
    write_if_there(HOST_IA32_PAT, rdmsr(IA32_PAT));
    vmcs_write(HOST_RIP, (uint64_t)vm_exit_point);
}

/* Segment fields stand in the order ES CS SS DS FS GS LDTR TR, two apart. */
enum segment { ES, CS, SS, DS, FS, GS, LDTR, TR };

static void set_segment(enum segment segment, uint16_t selector, uint64_t base, uint32_t limit,
                        enum rights rights) {
    enum vmcs_field stride = 2 * (enum vmcs_field)segment;
    vmcs_write(GUEST_ES_SELECTOR + stride, selector);
    vmcs_write(GUEST_ES_BASE + stride, base);
    vmcs_write(GUEST_ES_LIMIT + stride, limit);
    vmcs_write(GUEST_ES_ACCESS_RIGHTS + stride, rights);
}

static void set_segments(enum mode mode) {
    if (mode == MODE_VIRTUAL_8086 || mode == MODE_REAL) { /* 27.3.1.2: base is selector * 16 */
        enum rights code = mode == MODE_REAL ? CODE_16 : VIRTUAL_8086;
        enum rights data = mode == MODE_REAL ? DATA_16 : VIRTUAL_8086;
        for (enum segment segment = ES; segment <= GS; segment++) {
            uint32_t at = segment == CS ? GUEST_CODE : GUEST_STACK;
            set_segment(segment, (uint16_t)(at >> 4), at, 0xffff, segment == CS ? code : data);
        }
        vmcs_write(GUEST_RIP, GUEST_ENTRY);
        vmcs_write(GUEST_RSP, 0x800);
    } else {
        for (enum segment segment = ES; segment <= GS; segment++) {
            set_segment(segment, SELECTOR_DATA, 0, ~0u, DATA_32);
        }
        set_segment(CS, SELECTOR_CODE, 0, ~0u, mode == MODE_LONG ? CODE_64 : CODE_32);
        vmcs_write(GUEST_RIP, GUEST_CODE + GUEST_ENTRY);
        vmcs_write(GUEST_RSP, GUEST_STACK + 0x800);
    }
    set_segment(LDTR, 0, 0, 0, UNUSABLE);
    set_segment(TR, SELECTOR_TSS, 0, 0x67, BUSY_TSS);
}

static void set_guest_state(enum mode mode) {
    static const uint32_t cr3[] = {[MODE_LONG] = GUEST_PML4,
                                   [MODE_PROTECTED] = GUEST_DIRECTORY_32,
                                   [MODE_PAE] = GUEST_PAE_PDPT,
                                   [MODE_VIRTUAL_8086] = GUEST_DIRECTORY_32,
                                   [MODE_REAL] = 0};
    uint64_t cr0 = vmx_capabilities.cr0_required | CR0_ET | CR0_PE | CR0_PG_64;
    if (mode == MODE_REAL) { /* 27.3.1.1: an unrestricted guest may do without these */
        cr0 &= ~(uint64_t)(CR0_PE | CR0_PG_64);
    }
    vmcs_write(GUEST_CR0, cr0);
    vmcs_write(GUEST_CR3, cr3[mode]);
    vmcs_write(GUEST_CR4, vmx_capabilities.cr4_required |
                              (mode == MODE_LONG || mode == MODE_PAE ? CR4_PAE : 0));
    write_if_there(GUEST_IA32_EFER, mode == MODE_LONG ? EFER_LME | EFER_LMA : 0);
    write_if_there(GUEST_IA32_PAT, PAT_AT_RESET);
    if (mode == MODE_PAE) {
        write_if_there(GUEST_PDPTE0, guest_pdpte());
    }
    set_segments(mode);
    vmcs_write(GUEST_RFLAGS,
               RFLAGS_RESERVED_1 | (mode == MODE_VIRTUAL_8086 ? RFLAGS_VM | RFLAGS_IOPL_3 : 0));
    vmcs_write(GUEST_DR7, 0x400);
    vmcs_write(VMCS_LINK_POINTER, ~0ull);
}

void base_load(const struct base *base) {
    /* 25.11.3: VMCLEAR makes the launch state clear, which VMLAUNCH wants. */
    if (vmclear((uint64_t)base->region) != VMX_SUCCEED ||
        vmptrld((uint64_t)base->region) != VMX_SUCCEED) {
        panic("the VMCS at 0x%lx can't be made current", (uint64_t)base->region);
    }
}

static void set_up(enum mode mode, uint64_t eptp) {
    struct base *base = &bases[mode];
    base->region = vmx_region_create();
    if (!base->region) {
        panic("out of memory");
    }
    base_load(base);
    field_values_read(&base->values);
    for (unsigned i = 0; i < base->values.count; i++) { /* a new region may hold anything */
        base->values.fields[i].value = 0;
    }
    field_values_write(&base->values);
    set_controls(mode, eptp);
    set_pointers();
    set_host_state();
    set_guest_state(mode);
    field_values_read(&base->values);

    struct attempt attempt = attempt_entry(base);
    if (attempt.kind != ATTEMPT_ENTERED || attempt.number != EXIT_REASON_CPUID) {
        panic("the base VMCS \"%s\": outcome %u, number %u, qualification 0x%lx", base->name,
              attempt.kind, attempt.number, attempt.qualification);
    }
    base->present = true;
    field_values_write(&base->values);
}

void bases_start(void) {
    struct guest_map *map = ept_create(PAGE_SIZE_2M);
    if (!map || !ept_add(map, GUEST_START, GUEST_START, GUEST_SIZE)) {
        panic("out of memory");
    }
    for (unsigned mode = 0; mode < BASES; mode++) {
        if (mode != MODE_REAL ||
            vmx_capabilities.secondary.allowed & SECONDARY_UNRESTRICTED_GUEST) {
            set_up(mode, ept_pointer(&map->nested));
        }
    }
}
