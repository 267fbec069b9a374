/*
 * Self-tests of VT-x and of hv/vmx, in an image of their own. A self-test is one function:
 *
 *     SELFTEST(vmclear_of_the_vmxon_pointer, "VMCLEAR of the VMXON pointer fails with error 3") {
 *         check_error("VMCLEAR", attempt_vmclear(vmxon_pointer), 3);
 *     }
 *
 * It begins and ends in VMX operation without a current VMCS. Checks go on after a failure; the
 * first one is the self-test's message. The runner (main.c) turns each into a record, and looks that
 * no page was lost. harness/selftests.py lists them from the ELF's symbols, without a boot.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "selftest/attempts.h"

/* Aligned to its size, or the compiler leaves gaps in what main.c takes for an array. */
struct selftest {
    const char *name, *sentence;
    void (*run)(void);
} __attribute__((aligned(32)));

/* Their place is table.ld's; the prefix selftest_ is what the harness looks for. */
#define SELFTEST(name, sentence)                                                \
    static void run_##name(void);                                               \
    extern const struct selftest selftest_##name;                               \
    const struct selftest selftest_##name                                       \
        __attribute__((section(".selftests"))) = {#name, sentence, run_##name}; \
    static void run_##name(void)

/* False if it did not hold; the text then says what was found, and what should have been. */
bool check(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool check_equal(const char *what, uint64_t found, uint64_t expected);

/* The outcome of an instruction (attempts.h) is this one. */
bool check_outcome(const char *what, enum outcome found, enum outcome expected);

/* It failed with VMfailValid and this number in VM_INSTRUCTION_ERROR. */
bool check_error(const char *what, enum outcome found, uint32_t number);

/* It failed with VMfailInvalid: there was no current VMCS to put an error number into. */
bool check_fails_invalid(const char *what, enum outcome found);

/* What this processor can't do; the self-test is reported as skipped unless a check failed. */
void skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A fact worth keeping, which decides nothing: goes into the record. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The outcome of VMXON before anything locked IA32_FEATURE_CONTROL, if firmware left that to us. */
extern bool feature_control_was_unlocked;
extern enum outcome vmxon_while_unlocked;
