/* What EPT refuses, and what the exit says about it. SDM 3C 28.2.1 (table 28-7), 29.3.3. */
#include "core/pages.h"
#include "selftest/bits.h"
#include "selftest/machine.h"
#include "selftest/selftest.h"
#include "selftest/tables.h"
#include "vmx/controls.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

/* Table 28-7 */
enum violation {
    BY_READ = 1 << 0,
    BY_WRITE = 1 << 1,
    BY_FETCH = 1 << 2,
    WAS_READABLE = 1 << 3,
    WAS_WRITABLE = 1 << 4,
    WAS_EXECUTABLE = 1 << 5,
    LINEAR_VALID = 1 << 7,
    FINAL = 1 << 8, /* the access itself, not one to the guest's page tables */
    BASIC_BITS = 0x1bf,
};

static void check_violation(const char *what, struct program program, uint64_t permissions,
                            uint64_t qualification) {
    struct machine machine;
    machine_create(&machine, program);
    uint64_t *entry = table_entry(MACHINE_DATA, 1), good = *entry;
    *entry = permissions ? (good & ~ENTRY_ALL) | permissions : 0;
    tables_changed();
    machine.vm.memory[MACHINE_DATA + 0x123] = 0xc3; /* RET */
    machine.registers->rbx = MACHINE_DATA + 0x123;
    if (machine_runs_until(&machine, what, REASON_EPT_VIOLATION)) {
        check(vmcs_read(GUEST_PHYSICAL_ADDRESS) == MACHINE_DATA + 0x123,
              "%s: the guest-physical address is 0x%lx", what, vmcs_read(GUEST_PHYSICAL_ADDRESS));
        check(vmcs_read(GUEST_LINEAR_ADDRESS) == MACHINE_DATA + 0x123,
              "%s: the linear address is 0x%lx", what, vmcs_read(GUEST_LINEAR_ADDRESS));
        check((vmcs_read(EXIT_QUALIFICATION) & BASIC_BITS) == qualification,
              "%s: the qualification is 0x%lx, not 0x%lx", what, vmcs_read(EXIT_QUALIFICATION),
              qualification);
        /* With the mapping put right the same instruction runs again, and to its end. */
        *entry = good;
        tables_changed();
        machine_runs_until(&machine, "the same again", REASON_HLT);
    }
    machine_destroy(&machine);
}

SELFTEST(ept_violations,
         "an EPT violation tells the access, what was permitted, and both addresses") {
    const uint64_t final = LINEAR_VALID | FINAL;
    const uint64_t read_execute = WAS_READABLE | WAS_EXECUTABLE;
    check_violation("read of nothing", PROGRAM(read_word), 0, BY_READ | final);
    check_violation("write to nothing", PROGRAM(write_word), 0, BY_WRITE | final);
    check_violation("fetch from nothing", PROGRAM(call), 0, BY_FETCH | final);
    check_violation("write to what is read-only", PROGRAM(write_word), ENTRY_READ,
                    BY_WRITE | WAS_READABLE | final);
    check_violation("write to what is code", PROGRAM(write_word), ENTRY_READ | ENTRY_EXECUTE,
                    BY_WRITE | read_execute | final);
    check_violation("fetch from what is data", PROGRAM(call), ENTRY_READ | ENTRY_WRITE,
                    BY_FETCH | WAS_READABLE | WAS_WRITABLE | final);
    if (vmx_capabilities.ept_vpid & EPT_CAP_EXECUTE_ONLY) {
        check_violation("read of what is execute-only", PROGRAM(read_word), ENTRY_EXECUTE,
                        BY_READ | WAS_EXECUTABLE | final);
    }
}

SELFTEST(ept_violation_in_a_page_walk,
         "a violation at the guest's own page tables says that it was one") {
    struct machine machine;
    machine_create(&machine, PROGRAM(read_word));
    machine.registers->rbx = MACHINE_DATA;
    *table_entry(0x3000, 1) = 0; /* the first page directory, by loader.h */
    tables_changed();
    if (machine_runs_until(&machine, "the guest", REASON_EPT_VIOLATION)) {
        uint64_t qualification = vmcs_read(EXIT_QUALIFICATION);
        check_equal("the page", vmcs_read(GUEST_PHYSICAL_ADDRESS) & ENTRY_ADDRESS, 0x3000);
        check_equal("linear valid, final", qualification & (LINEAR_VALID | FINAL), LINEAR_VALID);
    }
    machine_destroy(&machine);
}

static void check_misconfiguration(const char *what, unsigned level, uint64_t clear, uint64_t set) {
    struct machine machine;
    machine_create(&machine, PROGRAM(read_word));
    machine.registers->rbx = MACHINE_DATA;
    uint64_t *entry = table_entry(MACHINE_DATA, level), good = *entry;
    *entry = (good & ~clear) | set;
    tables_changed();
    if (machine_runs_until(&machine, what, REASON_EPT_MISCONFIGURATION)) {
        /* Above the page that the program itself is in, its fetch fails first. */
        check(vmcs_read(GUEST_PHYSICAL_ADDRESS) == MACHINE_DATA || level > 1,
              "%s: the guest-physical address is 0x%lx", what, vmcs_read(GUEST_PHYSICAL_ADDRESS));
    }
    *entry = good;
    tables_changed();
    machine_runs_until(&machine, "with the entry put right", REASON_HLT);
    machine_destroy(&machine);
}

/* 29.3.3.1 */
SELFTEST(ept_misconfigurations,
         "each EPT entry that the manual calls misconfigured exits with reason 49") {
    enum { TYPE_SHIFT = 3 };
    const uint64_t type = 7ull << TYPE_SHIFT;
    check_misconfiguration("writable, not readable", 1, ENTRY_ALL, ENTRY_WRITE);
    check_misconfiguration("writable and executable, not readable", 1, ENTRY_READ, 0);
    check_misconfiguration("memory type 2", 1, type, 2ull << TYPE_SHIFT);
    check_misconfiguration("memory type 3", 1, type, 3ull << TYPE_SHIFT);
    check_misconfiguration("memory type 7", 1, type, 7ull << TYPE_SHIFT);
    check_misconfiguration("writable, not readable, at the PML4", 4, ENTRY_READ, 0);
    check_misconfiguration("a large page at the PML4", 4, 0, ENTRY_LARGE);
    if (physical_address_bits() < 52) {
        check_misconfiguration("an address beyond the physical width", 1, 0, 1ull << 51);
    }
    if (!(vmx_capabilities.ept_vpid & EPT_CAP_EXECUTE_ONLY)) {
        check_misconfiguration("execute-only, without the capability", 1, ENTRY_ALL, ENTRY_EXECUTE);
    }
    if (!(vmx_capabilities.ept_vpid & EPT_CAP_1G_PAGES)) {
        check_misconfiguration("a 1G page, without the capability", 3, 0, ENTRY_LARGE);
    }
}

SELFTEST(ept_accessed_and_dirty,
         "with accessed and dirty flags a read sets the one, a write both") {
    enum { EPTP_ACCESSED_DIRTY = 1 << 6 };
    struct machine machine;
    if (!(vmx_capabilities.ept_vpid & EPT_CAP_ACCESSED_DIRTY)) {
        skip("this CPU's EPT has no accessed and dirty flags");
        return;
    }
    machine_create(&machine, PROGRAM(read_word));
    vmcs_write(EPT_POINTER, vmcs_read(EPT_POINTER) | EPTP_ACCESSED_DIRTY);
    uint64_t *entry = table_entry(MACHINE_DATA, 1);
    *entry &= ~(ENTRY_ACCESSED | ENTRY_DIRTY);
    tables_changed();
    machine.registers->rbx = MACHINE_DATA;
    machine_runs_until(&machine, "the read", REASON_HLT);
    check_equal("after a read", *entry & (ENTRY_ACCESSED | ENTRY_DIRTY), ENTRY_ACCESSED);
    machine_destroy(&machine);

    machine_create(&machine, PROGRAM(write_word));
    vmcs_write(EPT_POINTER, vmcs_read(EPT_POINTER) | EPTP_ACCESSED_DIRTY);
    entry = table_entry(MACHINE_DATA, 1);
    *entry &= ~(ENTRY_ACCESSED | ENTRY_DIRTY);
    tables_changed();
    machine.registers->rbx = MACHINE_DATA;
    machine_runs_until(&machine, "the write", REASON_HLT);
    check_equal("after a write", *entry & (ENTRY_ACCESSED | ENTRY_DIRTY),
                ENTRY_ACCESSED | ENTRY_DIRTY);
    machine_destroy(&machine);
}

SELFTEST(ept_pointer_accessed_dirty,
         "EPTP bit 6 on a CPU without accessed and dirty flags: error 7") {
    struct machine machine;
    if (vmx_capabilities.ept_vpid & EPT_CAP_ACCESSED_DIRTY) {
        skip("this CPU's EPT has accessed and dirty flags");
        return;
    }
    machine_create(&machine, PROGRAM(count));
    vmcs_write(EPT_POINTER, vmcs_read(EPT_POINTER) | 1 << 6);
    struct entry_result result = enter(machine.vcpu);
    check(result.vm_fail && result.error == 7, "error %u, exit reason 0x%x", result.error,
          result.reason);
    machine_destroy(&machine);
}
