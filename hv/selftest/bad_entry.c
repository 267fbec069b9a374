#include "selftest/bad_entry.h"

#include "selftest/bits.h"
#include "selftest/selftest.h"
#include "vmx/vmcs.h"

void check_entry_error(const char *what, struct entry_result result, uint32_t error) {
    enum { RFLAGS_CF = 1 << 0, RFLAGS_ZF = 1 << 6 };
    check(result.vm_fail && result.error == error, "%s: %s %u, exit reason 0x%x, not error %u",
          what, result.vm_fail ? "error" : "no failure,", result.error, result.reason, error);
    if (result.vm_fail) {
        check((result.flags & (RFLAGS_CF | RFLAGS_ZF)) == RFLAGS_ZF, "%s: flags are 0x%lx", what,
              result.flags);
    }
}

/* False where this processor does not have one of the fields. */
static bool apply(const struct bad_entry *row, uint64_t before[3]) {
    for (unsigned i = 0; i < 3 && (row->changes[i].clear | row->changes[i].set); i++) {
        const struct change *change = &row->changes[i];
        if (vmread(change->field, &before[i]) != VMX_SUCCEED) {
            return false;
        }
    }
    for (unsigned i = 0; i < 3 && (row->changes[i].clear | row->changes[i].set); i++) {
        const struct change *change = &row->changes[i];
        vmcs_write_named(change->field, (before[i] & ~change->clear) | change->set, row->what,
                         "bad entry");
    }
    return true;
}

static void undo(const struct bad_entry *row, const uint64_t before[3]) {
    for (unsigned i = 0; i < 3 && (row->changes[i].clear | row->changes[i].set); i++) {
        vmcs_write_named(row->changes[i].field, before[i], row->what, "bad entry");
    }
}

/* The number: of the error, or of the exit reason; the qualification counts for the latter. */
typedef void check_row(const char *what, struct entry_result result, uint32_t number,
                       uint64_t qualification);

static void check_rows(const struct bad_entry *rows, unsigned count, check_row *check_one,
                       uint32_t number, uint64_t qualification) {
    struct machine machine;
    machine_create(&machine, PROGRAM(count));
    for (unsigned i = 0; i < count; i++) {
        uint64_t before[3];
        if (!apply(&rows[i], before)) {
            note("not here: %s", rows[i].what);
            continue;
        }
        struct entry_result result = enter(machine.vcpu);
        check_one(rows[i].what, result, number, qualification);
        undo(&rows[i], before);
        if (result.entered) { /* what should have failed has changed the guest */
            machine_destroy(&machine);
            machine_create(&machine, PROGRAM(count));
        }
    }
    /* What was taken back is as good as new, and none of the failures launched the VMCS. */
    machine.vcpu->launched = false;
    machine_runs_until(&machine, "the VMCS with nothing wrong", REASON_HLT);
    machine_destroy(&machine);
}

static void check_one_error(const char *what, struct entry_result result, uint32_t error,
                            uint64_t unused) {
    (void)unused;
    check_entry_error(what, result, error);
}

void check_instruction_fails(const struct bad_entry *rows, unsigned count, uint32_t error) {
    check_rows(rows, count, check_one_error, error, 0);
}

static void check_one_exit(const char *what, struct entry_result result, uint32_t reason,
                           uint64_t qualification) {
    uint32_t expected = reason | REASON_FAILED_ENTRY;
    if (check(!result.vm_fail && !result.entered && result.reason == expected,
              "%s: %s %u, exit reason 0x%x, not 0x%x", what, result.vm_fail ? "error" : "no error,",
              result.error, result.reason, expected)) {
        uint64_t found = vmcs_read(EXIT_QUALIFICATION);
        check(found == qualification, "%s: qualification %lu, not %lu", what, found, qualification);
    }
}

void check_entry_exits(const struct bad_entry *rows, unsigned count, uint32_t reason,
                       uint64_t qualification) {
    check_rows(rows, count, check_one_exit, reason, qualification);
}
