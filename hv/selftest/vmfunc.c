/* VMFUNC: a guest switches between views of its memory without an exit. SDM 3C 26.5.6. */
#include "core/pages.h"
#include "core/string.h"
#include "cpu/msr.h"
#include "selftest/bits.h"
#include "selftest/machine.h"
#include "selftest/selftest.h"
#include "selftest/tables.h"
#include "vmx/controls.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

enum { EPTP_SWITCHING = 0, MSR_VMFUNC = 0x491, VIEWS = 512, VECTOR_UNDEFINED = 6 };

/* A guest with two views: in the second one, a page of its own stands at MACHINE_DATA. */
struct views {
    struct machine machine;
    uint64_t *list;      /* of EPT pointers; the first two are good */
    uint64_t *tables[4]; /* of the second view: PML4, PDPT, directory, page table */
    uint64_t *page;
};

static bool has_eptp_switching(void) {
    if (!(vmx_capabilities.secondary.allowed & SECONDARY_ENABLE_VM_FUNCTIONS)) {
        skip("this CPU has no VM functions");
        return false;
    }
    if (!(rdmsr((enum msr)MSR_VMFUNC) >> EPTP_SWITCHING & 1)) {
        skip("this CPU has no EPTP switching (IA32_VMX_VMFUNC[0])");
        return false;
    }
    return true;
}

/* Copies the tables on the way to MACHINE_DATA, so that they share everything else. */
static uint64_t second_view(struct views *views, uint64_t first) {
    uint64_t *below = views->page;
    for (int level = 1; level <= 4; level++) {
        uint64_t *entry = table_entry_in(first, MACHINE_DATA, (unsigned)level);
        const uint64_t *table = (const uint64_t *)((uint64_t)entry & ENTRY_ADDRESS);
        uint64_t *copy = page_allocate();
        memcpy(copy, table, PAGE_SIZE);
        copy[entry - table] = (*entry & ~ENTRY_ADDRESS) | (uint64_t)below;
        views->tables[level - 1] = below = copy;
    }
    return (uint64_t)below | (first & ~ENTRY_ADDRESS);
}

static void views_create(struct views *views) {
    machine_create(&views->machine, PROGRAM(vmfunc));
    views->page = page_allocate();
    views->list = page_allocate();
    *(uint64_t *)(views->machine.vm.memory + MACHINE_DATA) = 0x1111;
    *views->page = 0x2222;
    views->list[0] = vmcs_read(EPT_POINTER);
    (void)table_entry(MACHINE_DATA, 1); /* splits what is large before it is copied */
    views->list[1] = second_view(views, views->list[0]);
    vmcs_write(SECONDARY_PROCESSOR_BASED_CONTROLS,
               vmcs_read(SECONDARY_PROCESSOR_BASED_CONTROLS) | SECONDARY_ENABLE_VM_FUNCTIONS);
    vmcs_write(VM_FUNCTION_CONTROLS, 1ull << EPTP_SWITCHING);
    vmcs_write(EPTP_LIST_ADDRESS, (uint64_t)views->list);
    tables_changed();
    views->machine.registers->rbx = MACHINE_DATA;
}

static void views_destroy(struct views *views) {
    machine_destroy(&views->machine);
    for (unsigned i = 0; i < 4; i++) {
        pages_free(views->tables[i], 1);
    }
    pages_free(views->page, 1);
    pages_free(views->list, 1);
}

SELFTEST(vmfunc_switches_views,
         "after VMFUNC a guest reads other data at the same address, and no exit was needed") {
    struct views views;
    if (!has_eptp_switching()) {
        return;
    }
    views_create(&views);
    views.machine.registers->rcx = 1;
    if (machine_runs_until(&views.machine, "the guest", REASON_HLT)) {
        check_equal("what it read in the first view", views.machine.registers->rsi, 0x1111);
        check_equal("what it read in the second view", views.machine.registers->rdi, 0x2222);
        check_equal("EPT_POINTER", vmcs_read(EPT_POINTER), views.list[1]);
    }
    views_destroy(&views);
}

static void check_exits(const char *what, uint64_t leaf, uint64_t index) {
    struct views views;
    views_create(&views);
    views.list[2] = views.list[0] | 0xf00; /* no EPT pointer */
    views.machine.registers->rax = leaf;
    views.machine.registers->rcx = index;
    if (machine_runs_until(&views.machine, what, REASON_VMFUNC)) {
        check_equal("what it read before", views.machine.registers->rsi, 0x1111);
        check_equal("EPT_POINTER", vmcs_read(EPT_POINTER), views.list[0]);
        check_equal("the instruction's length", vmcs_read(VM_EXIT_INSTRUCTION_LENGTH), 3);
    }
    views_destroy(&views);
}

SELFTEST(
    vmfunc_with_bad_arguments_exits,
    "VMFUNC to a view that does not exist, or of a function that is off, exits with reason 59") {
    if (!has_eptp_switching()) {
        return;
    }
    check_exits("a view above 511", EPTP_SWITCHING, VIEWS);
    check_exits("an empty view", EPTP_SWITCHING, 3);
    check_exits("a view with a bad EPT pointer", EPTP_SWITCHING, 2);
    check_exits("function 1", 1, 0);
}

/* Without an IDT the guest ends in a triple fault, unless #UD itself exits. */
static void check_undefined(const char *what, struct machine *machine) {
    vmcs_write(EXCEPTION_BITMAP, 1u << VECTOR_UNDEFINED);
    if (machine_runs_until(machine, what, 0)) {
        check_equal("the exception", vmcs_read(VM_EXIT_INTERRUPTION_INFORMATION) & 0xff,
                    VECTOR_UNDEFINED);
    }
}

SELFTEST(vmfunc_of_a_function_above_63, "VMFUNC with EAX above 63 is #UD in a guest") {
    struct views views;
    if (!has_eptp_switching()) {
        return;
    }
    views_create(&views);
    views.machine.registers->rax = 64;
    check_undefined("the guest", &views.machine);
    views_destroy(&views);
}

SELFTEST(vmfunc_without_its_control,
         "VMFUNC is #UD in root operation, and in a guest whose controls don't enable it") {
    struct machine machine;
    check_outcome("VMFUNC in root operation", attempt_vmfunc(), FAULTED_UD);
    machine_create(&machine, PROGRAM(vmfunc));
    machine.registers->rbx = MACHINE_DATA;
    check_undefined("the guest", &machine);
    machine_destroy(&machine);
}
