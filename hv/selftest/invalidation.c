/* INVEPT and INVVPID: types, operands, and what they are for. SDM 3C 29.4.3 and chapter 31. */
#include "core/pages.h"
#include "selftest/bits.h"
#include "selftest/machine.h"
#include "selftest/selftest.h"
#include "selftest/tables.h"
#include "vmx/controls.h"
#include "vmx/instructions.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

static bool has(uint64_t capability) {
    return vmx_capabilities.ept_vpid & capability;
}

SELFTEST(invept_without_a_vmcs, "INVEPT and INVVPID with a bad type fail invalid without a VMCS") {
    const struct invalidation descriptor = {0, 0};
    if (!has(EPT_CAP_INVEPT) || !has(VPID_CAP_INVVPID)) {
        skip("this CPU has no INVEPT or no INVVPID");
        return;
    }
    check_fails_invalid("INVEPT type 0", attempt_invept(0, &descriptor));
    check_fails_invalid("INVVPID type 4", attempt_invvpid(4, &descriptor));
}

SELFTEST(invept_operands,
         "INVEPT does the types it has; other types and bad EPT pointers: error 28") {
    struct machine machine;
    if (!has(EPT_CAP_INVEPT)) {
        skip("this CPU has no INVEPT");
        return;
    }
    machine_create(&machine, PROGRAM(count));
    uint64_t eptp = vmcs_read(EPT_POINTER);
    struct invalidation good = {eptp, 0};
    check_error("type 0", attempt_invept(0, &good), 28);
    check_error("type 3", attempt_invept(3, &good), 28);
    if (has(EPT_CAP_INVEPT_SINGLE)) {
        check_outcome("single-context", attempt_invept(1, &good), SUCCEEDED);
        /* Whatever would make a VM entry fail (27.2.1.1). */
        const uint64_t wrong[] = {eptp ^ 1ull << 3, eptp | 1ull << 11, (eptp & ~7ull) | 3,
                                  eptp | 1ull << 63};
        for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            struct invalidation bad = {wrong[i], 0};
            check_error("single-context, bad EPT pointer", attempt_invept(1, &bad), 28);
        }
    } else {
        check_error("single-context", attempt_invept(1, &good), 28);
    }
    struct invalidation nothing = {0, 0};
    if (has(EPT_CAP_INVEPT_ALL)) {
        check_outcome("all-contexts", attempt_invept(2, &nothing), SUCCEEDED);
    } else {
        check_error("all-contexts", attempt_invept(2, &nothing), 28);
    }
    check_outcome("INVEPT [0]", attempt_invept(2, 0), FAULTED_PF);
    machine_destroy(&machine);
}

SELFTEST(invvpid_operands,
         "INVVPID does the types it has; other types, VPID 0, bad bits: error 28") {
    struct machine machine;
    if (!has(VPID_CAP_INVVPID)) {
        skip("this CPU has no INVVPID");
        return;
    }
    machine_create(&machine, PROGRAM(count));
    static const uint64_t capability[] = {EPT_CAP_INVVPID_ADDRESS, VPID_CAP_INVVPID_SINGLE,
                                          VPID_CAP_INVVPID_ALL, EPT_CAP_INVVPID_RETAINING_GLOBALS};
    static const char *const names[] = {"individual-address", "single-context", "all-contexts",
                                        "single-context-retaining-globals"};
    struct invalidation good = {1, 0x1000}, zero = {0, 0}, reserved = {1 | 1 << 16, 0};
    for (uint64_t type = 0; type < 4; type++) {
        if (has(capability[type])) {
            check_outcome(names[type], attempt_invvpid(type, &good), SUCCEEDED);
            check_error(names[type], attempt_invvpid(type, &reserved), 28);
        } else {
            check_error(names[type], attempt_invvpid(type, &good), 28);
        }
        if (type != INVVPID_ALL_CONTEXTS) {
            check_error("VPID 0", attempt_invvpid(type, &zero), 28);
        }
    }
    check_error("type 4", attempt_invvpid(4, &good), 28);
    if (has(EPT_CAP_INVVPID_ADDRESS)) {
        struct invalidation not_canonical = {1, 1ull << 63};
        check_error("an address that is not canonical", attempt_invvpid(0, &not_canonical), 28);
    }
    machine_destroy(&machine);
}

SELFTEST(invalidation_types_are_whole_registers,
         "INVEPT and INVVPID look at all 64 bits of the type: 2^32 + 2 is error 28") {
    struct machine machine;
    if (!has(EPT_CAP_INVEPT) || !has(VPID_CAP_INVVPID)) {
        skip("this CPU has no INVEPT or no INVVPID");
        return;
    }
    machine_create(&machine, PROGRAM(count));
    const struct invalidation nothing = {0, 0};
    check_error("INVEPT", attempt_invept((1ull << 32) + 2, &nothing), 28);
    check_error("INVVPID", attempt_invvpid((1ull << 32) + 2, &nothing), 28);
    machine_destroy(&machine);
}

/* On Bochs, which drops all translations at each entry and exit, this proves only that the new page is
 * seen, not that INVEPT was needed. */
SELFTEST(invept_shows_a_changed_mapping,
         "after INVEPT a guest sees the page that was put in place") {
    struct machine machine;
    if (!has(EPT_CAP_INVEPT)) {
        skip("this CPU has no INVEPT");
        return;
    }
    machine_create(&machine, PROGRAM(read_word));
    uint64_t *other = page_allocate(), *entry = table_entry(MACHINE_DATA, 1);
    *(uint64_t *)(machine.vm.memory + MACHINE_DATA) = 0x1111;
    *other = 0x2222;
    machine.registers->rbx = MACHINE_DATA;
    machine_runs_until(&machine, "the first read", REASON_HLT);
    check_equal("the first page", machine.registers->rax, 0x1111);
    *entry = (*entry & 0xfff) | (uint64_t)other;
    bool single = has(EPT_CAP_INVEPT_SINGLE);
    check_equal(
        "INVEPT",
        invept(single ? INVEPT_SINGLE_CONTEXT : INVEPT_ALL_CONTEXTS, vmcs_read(EPT_POINTER)),
        VMX_SUCCEED);
    machine_skip(&machine);
    machine_runs_until(&machine, "the second read", REASON_HLT);
    check_equal("the second page", machine.registers->rax, 0x2222);
    machine_destroy(&machine);
    pages_free(other, 1);
}

/* The guest changes its own page table without INVLPG; the hypervisor's INVVPID makes that seen. */
SELFTEST(invvpid_drops_linear_mappings, "after INVVPID a guest sees what its page tables say now") {
    struct machine machine;
    enum { PRESENT_WRITABLE = 3 };
    if (!has(VPID_CAP_INVVPID)) {
        skip("this CPU has no INVVPID");
        return;
    }
    machine_create(&machine, PROGRAM(read_word));
    uint8_t *memory = machine.vm.memory;
    uint64_t *directory = (uint64_t *)(memory + 0x3000), *table = (uint64_t *)(memory + 0x10000);
    *(uint64_t *)(memory + MACHINE_DATA) = 0x1111;
    *(uint64_t *)(memory + MACHINE_DATA + PAGE_SIZE) = 0x2222;
    directory[1] = 0x10000 | PRESENT_WRITABLE; /* loader.h: identity, 2 MiB */
    table[0] = MACHINE_DATA | PRESENT_WRITABLE;
    machine.registers->rbx = 2 << 20;
    machine_runs_until(&machine, "the first read", REASON_HLT);
    check_equal("linear 2 MiB", machine.registers->rax, 0x1111);
    table[0] += PAGE_SIZE;
    bool single = has(VPID_CAP_INVVPID_SINGLE);
    check_equal(
        "INVVPID",
        invvpid(single ? INVVPID_SINGLE_CONTEXT : INVVPID_ALL_CONTEXTS, machine.vcpu->vpid, 0),
        VMX_SUCCEED);
    machine_skip(&machine);
    machine_runs_until(&machine, "the second read", REASON_HLT);
    check_equal("linear 2 MiB, mapped to the next page", machine.registers->rax, 0x2222);
    machine_destroy(&machine);
}
