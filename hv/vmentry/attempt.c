#include "vmentry/attempt.h"

#include "vmentry/host.h"
#include "vmentry/pages.h"
#include "vmx/vmcs.h"

uint64_t enter_vmcs(void);

enum { RFLAGS_CF = 1 << 0 };

static struct attempt instruction_failed(uint64_t flags) {
    if (flags & RFLAGS_CF) {
        return (struct attempt){ATTEMPT_FAILED_INVALID, 0, 0};
    }
    return (struct attempt){ATTEMPT_FAILED_VALID, (uint32_t)vmcs_read(VM_INSTRUCTION_ERROR), 0};
}

struct attempt attempt_entry(const struct base *base) {
    uint64_t flags = enter_vmcs();
    if (flags) {
        return instruction_failed(flags);
    }
    host_restore();
    uint32_t reason = (uint32_t)vmcs_read(EXIT_REASON);
    struct attempt attempt = {reason >> 31 ? ATTEMPT_REFUSED : ATTEMPT_ENTERED, reason & 0xffff,
                              vmcs_read(EXIT_QUALIFICATION)};
    pointed_pages_restore();
    base_load(base);
    field_values_write(&base->values);
    return attempt;
}
