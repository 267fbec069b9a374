#include "core/traps.h"

#include "core/console.h"
#include "core/format.h"
#include "core/nmi.h"
#include "core/paging.h"
#include "core/power.h"
#include "core/records.h"
#include "core/stack.h"
#include "cpu/control.h"

enum {
    VECTOR_NMI = 2,
    VECTOR_DOUBLE_FAULT = 8,
    VECTOR_GENERAL_PROTECTION = 13,
    VECTOR_PAGE_FAULT = 14,
};

/* SDM 3A, table 6-1 */
static const char *const names[32] = {
    [0] = "#DE divide error",
    [1] = "#DB debug exception",
    [2] = "NMI",
    [3] = "#BP breakpoint",
    [4] = "#OF overflow",
    [5] = "#BR BOUND range exceeded",
    [6] = "#UD invalid opcode",
    [7] = "#NM device not available",
    [8] = "#DF double fault",
    [10] = "#TS invalid TSS",
    [11] = "#NP segment not present",
    [12] = "#SS stack-segment fault",
    [13] = "#GP general protection",
    [14] = "#PF page fault",
    [16] = "#MF x87 floating-point error",
    [17] = "#AC alignment check",
    [18] = "#MC machine check",
    [19] = "#XM SIMD floating-point exception",
    [20] = "#VE virtualization exception",
    [21] = "#CP control protection exception",
};

/* One clause about the error code: SDM 3A 4.7 for page faults, 6.13 for selectors. */
static void explain(const struct trap_frame *frame, char *to, size_t size) {
    uint64_t code = frame->error_code;
    if (frame->vector == VECTOR_PAGE_FAULT) {
        format(to, size, "%s of 0x%lx: %s%s",
               code & 16 ? "instruction fetch" : (code & 2 ? "write" : "read"), read_cr2(),
               code & 1 ? "not permitted" : "not mapped", code & 8 ? ", reserved bit set" : "");
    } else if (frame->vector == VECTOR_DOUBLE_FAULT && paging_is_stack_guard(read_cr2())) {
        format(to, size, "stack overflow, 0x%lx lies below the stack", read_cr2());
    } else if (frame->vector == VECTOR_GENERAL_PROTECTION && code == 0) {
        format(to, size, "no selector involved (bad MSR, control-register bit or address?)");
    } else {
        format(to, size, "error code 0x%lx", code);
    }
}

static void record_registers(const struct trap_frame *frame) {
    record_open("registers");
    const struct {
        const char *name;
        uint64_t value;
    } registers[] = {
        {"rax", frame->rax}, {"rbx", frame->rbx},       {"rcx", frame->rcx}, {"rdx", frame->rdx},
        {"rsi", frame->rsi}, {"rdi", frame->rdi},       {"rbp", frame->rbp}, {"rsp", frame->rsp},
        {"r8", frame->r8},   {"r9", frame->r9},         {"r10", frame->r10}, {"r11", frame->r11},
        {"r12", frame->r12}, {"r13", frame->r13},       {"r14", frame->r14}, {"r15", frame->r15},
        {"rip", frame->rip}, {"rflags", frame->rflags}, {"cr0", read_cr0()}, {"cr2", read_cr2()},
        {"cr3", read_cr3()}, {"cr4", read_cr4()},
    };
    for (unsigned i = 0; i < sizeof registers / sizeof registers[0]; i++) {
        record_hex(registers[i].name, registers[i].value);
    }
    record_close();
}

bool (*trap_recover)(struct trap_frame *frame);

void trap(struct trap_frame *frame) {
    static bool reporting;
    if (frame->vector == VECTOR_NMI) {
        nmi_arrived();
        return;
    }
    if (trap_recover && trap_recover(frame)) {
        return;
    }
    if (reporting) {
        power_off(POWER_PANIC); /* a trap while reporting one: don't go round */
    }
    reporting = true;

    const char *name = names[frame->vector % 32] ? names[frame->vector % 32] : "reserved vector";
    char detail[128], message[192];
    explain(frame, detail, sizeof detail);
    format(message, sizeof message, "%s at 0x%lx: %s", name, frame->rip, detail);
    print("trap", "%s", message);
    print("trap", "rax %016lx rbx %016lx rcx %016lx rdx %016lx", frame->rax, frame->rbx, frame->rcx,
          frame->rdx);
    print("trap", "rsi %016lx rdi %016lx rbp %016lx rsp %016lx", frame->rsi, frame->rdi, frame->rbp,
          frame->rsp);
    print("trap", "cr0 %016lx cr2 %016lx cr3 %016lx cr4 %016lx", read_cr0(), read_cr2(), read_cr3(),
          read_cr4());
    print("panic", "%s", message);

    record_begin("panic");
    record_text("message", message);
    record_number("vector", frame->vector);
    record_text("name", name);
    record_hex("error_code", frame->error_code);
    record_hex("rip", frame->rip);
    record_registers(frame);
    stack_record(frame->rbp);
    record_end();
    power_off_with_record("panic", POWER_PANIC);
}
