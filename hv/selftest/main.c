/* The self-tests' image from start to end: run those that the command line leaves, and report. */
#include <stdarg.h>

#include "core/boot_info.h"
#include "core/console.h"
#include "core/format.h"
#include "core/pages.h"
#include "core/power.h"
#include "core/records.h"
#include "core/refuse.h"
#include "core/start.h"
#include "core/string.h"
#include "core/words.h"
#include "cpu/control.h"
#include "cpu/msr.h"
#include "selftest/selftest.h"
#include "vm/boot_record.h"
#include "vm/virt.h"
#include "vmx/instructions.h"
#include "vmx/operation.h"

extern const struct selftest selftests_start[], selftests_end[]; /* table.ld */

enum { TEXT_SIZE = 256 };
static char failure[TEXT_SIZE], skipped[TEXT_SIZE], noted[1024];
static unsigned failures;

/* Checks */

static void keep(char *to, const char *format_text, va_list arguments) {
    if (!to[0]) {
        format_list(to, TEXT_SIZE, format_text, arguments);
    }
}

bool check(bool good, const char *format_text, ...) {
    if (!good) {
        failures++;
        va_list arguments;
        va_start(arguments, format_text);
        char text[TEXT_SIZE];
        format_list(text, sizeof text, format_text, arguments);
        va_end(arguments);
        print("check", "%s", text); /* all of them, for a person */
        if (!failure[0]) {
            text_copy(failure, sizeof failure, text);
        }
    }
    return good;
}

bool check_equal(const char *what, uint64_t found, uint64_t expected) {
    return check(found == expected, "%s is 0x%lx, not 0x%lx", what, found, expected);
}

static const char *outcome_name(enum outcome outcome) {
    static char text[2][32];
    static unsigned turn;
    switch ((unsigned)outcome) {
    case SUCCEEDED: return "success";
    case FAILED_INVALID: return "VMfailInvalid";
    case FAILED_VALID: return "VMfailValid";
    case FAULTED_UD: return "#UD";
    case FAULTED_GP: return "#GP";
    case FAULTED_PF: return "#PF";
    default:
        turn ^= 1;
        format(text[turn], sizeof text[turn], "exception %u", (unsigned)outcome - FAULTED);
        return text[turn];
    }
}

bool check_outcome(const char *what, enum outcome found, enum outcome expected) {
    return check(found == expected, "%s: %s, not %s", what, outcome_name(found),
                 outcome_name(expected));
}

bool check_fails_invalid(const char *what, enum outcome found) {
    return check_outcome(what, found, FAILED_INVALID);
}

bool check_error(const char *what, enum outcome found, uint32_t number) {
    uint64_t error = 0;
    if (found == FAILED_VALID && vmread(VM_INSTRUCTION_ERROR, &error) != VMX_SUCCEED) {
        return check(false, "%s: the error number can't be read", what);
    }
    return check(found == FAILED_VALID && error == number, "%s: %s, error %lu, not error %u", what,
                 outcome_name(found), error, number);
}

void skip(const char *format_text, ...) {
    va_list arguments;
    va_start(arguments, format_text);
    keep(skipped, format_text, arguments);
    va_end(arguments);
}

void note(const char *format_text, ...) {
    size_t length = strlen(noted);
    if (length) {
        length += format(noted + length, sizeof noted - length, "; ");
    }
    va_list arguments;
    va_start(arguments, format_text);
    format_list(noted + length, sizeof noted - length, format_text, arguments);
    va_end(arguments);
}

/* Runner */

/* 24.7: until IA32_FEATURE_CONTROL is locked, VMXON must fault. It can be seen only before vmx_start. */
bool feature_control_was_unlocked;
enum outcome vmxon_while_unlocked;

static void try_vmxon_while_unlocked(void) {
    feature_control_was_unlocked = !(rdmsr(IA32_FEATURE_CONTROL) & FEATURE_CONTROL_LOCK);
    if (feature_control_was_unlocked) {
        uint32_t *region = page_allocate();
        *region = (uint32_t)rdmsr(IA32_VMX_BASIC) & 0x7fffffff;
        uint64_t cr4 = read_cr4();
        write_cr4(cr4 | CR4_VMXE);
        vmxon_while_unlocked = attempt_vmxon((uint64_t)region);
        write_cr4(cr4);
        pages_free(region, 1);
    }
}

static bool run(const struct selftest *test) {
    failure[0] = skipped[0] = noted[0] = '\0';
    failures = 0;
    uint64_t pages = pages_available();
    virt->start();
    test->run();
    check_equal("the current VMCS at its end", vmptrst(), ~0ull);
    virt->stop();
    check_equal("CR4.VMXE at its end", read_cr4() & CR4_VMXE, 0);
    check(pages_available() == pages, "%lu free pages before it, %lu after", pages,
          pages_available());

    print("selftest", "%s: %s%s%s", test->name,
          failures     ? "failed"
          : skipped[0] ? "skipped: "
                       : "passed",
          failures ? "" : skipped, noted[0] ? " (noted)" : "");
    record_begin("selftest");
    record_text("name", test->name);
    record_flag("passed", !failures);
    record_text("skipped", !failures && skipped[0] ? skipped : 0);
    record_text("message", failures ? failure : 0);
    record_number("failed_checks", failures);
    record_text("note", noted[0] ? noted : 0);
    record_end();
    return !failures;
}

static bool exists(const char *name) {
    for (const struct selftest *test = selftests_start; test < selftests_end; test++) {
        if (text_equal(test->name, name)) {
            return true;
        }
    }
    return false;
}

static void check_command_line(const char *text) {
    struct word word;
    enum word_result result;
    while ((result = word_next(&text, &word)) != WORD_NONE) {
        if (result != WORD_OK || !(text_equal(word.key, "only") || text_equal(word.key, "skip"))) {
            refuse("bad-option", "command line: %s is not known (known: only=NAME, skip=NAME)",
                   word.key);
        }
        if (!exists(word.value)) {
            refuse("bad-option", "command line: there is no self-test called %s", word.value);
        }
    }
}

/* Each word may come more than once. */
static bool wanted(const char *command_line, const char *name) {
    struct word word;
    bool choosy = false, chosen = false, skipping = false;
    while (word_next(&command_line, &word) == WORD_OK) {
        bool named = text_equal(word.value, name), only = text_equal(word.key, "only");
        choosy |= only;
        chosen |= only && named;
        skipping |= !only && named;
    }
    return !skipping && (chosen || !choosy);
}

noreturn void image_main(void) {
    attempts_start();
    virt_choose();
    vm_record_boot();
    const char *command_line = boot_arguments(boot_info.command_line);
    check_command_line(command_line);
    if (virt != &vmx) {
        refuse("no-vmx", "these are self-tests of VT-x, which this CPU has not");
    }
    try_vmxon_while_unlocked();

    unsigned count = 0, failed = 0;
    for (const struct selftest *test = selftests_start; test < selftests_end; test++) {
        if (wanted(command_line, test->name)) {
            count++;
            failed += !run(test);
        }
    }
    print("selftest", "%u self-tests, %u failed", count, failed);
    power_off_with_record(failed ? "failed" : "ok", failed ? POWER_GUEST_CRASHED : POWER_OK);
}
