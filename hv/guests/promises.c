/*
 * What CPUID promises must be there: systems read an MSR or use an instruction without a net where its
 * feature's bit is set. A bit that is clear promises nothing.
 */
#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "guests/checks.h"
#include "guests/interrupts.h"

enum output { EAX, EBX, ECX, EDX };

static void read_msr(uint64_t msr) {
    rdmsr((enum msr)msr);
}

static void read_tscp(uint64_t argument) {
    (void)argument;
    asm volatile("rdtscp" : : : "eax", "ecx", "edx");
}

static void invalidate(uint64_t argument) {
    uint64_t descriptor[2] = {argument, 0};
    asm volatile("invpcid %0, %1" : : "m"(descriptor), "r"(2ull) : "memory"); /* all contexts */
}

static void monitor(uint64_t argument) {
    asm volatile("monitor" : : "a"(&argument), "c"(0), "d"(0));
}

static const struct promise {
    const char *name;
    uint32_t leaf, subleaf;
    enum output output;
    unsigned bit;
    void (*keep)(uint64_t argument);
    uint32_t msr;
} promises[] = {
    {"MONITOR", 1, 0, ECX, 3, monitor, 0},
    {"PDCM", 1, 0, ECX, 15, read_msr, 0x345},
    {"TSC_DEADLINE", 1, 0, ECX, 24, read_msr, 0x6e0},
    {"APIC", 1, 0, EDX, 9, read_msr, IA32_APIC_BASE},
    {"MTRR", 1, 0, EDX, 12, read_msr, 0xfe},
    {"MCA", 1, 0, EDX, 14, read_msr, 0x179},
    {"PAT", 1, 0, EDX, 16, read_msr, IA32_PAT},
    {"DS", 1, 0, EDX, 21, read_msr, 0x600},
    {"HWP", 6, 0, EAX, 7, read_msr, 0x770},
    {"energy bias", 6, 0, ECX, 3, read_msr, 0x1b0},
    {"TSC_ADJUST", 7, 0, EBX, 1, read_msr, 0x3b},
    {"INVPCID", 7, 0, EBX, 10, invalidate, 0},
    {"SPEC_CTRL", 7, 0, EDX, 26, read_msr, 0x48},
    {"ARCH_CAPABILITIES", 7, 0, EDX, 29, read_msr, 0x10a},
    {"CORE_CAPABILITIES", 7, 0, EDX, 30, read_msr, 0xcf},
    {"performance counters", 0xa, 0, EAX, 0, read_msr, 0x38f},
    {"XSAVES", 0xd, 1, EAX, 3, read_msr, 0xda0},
    {"OSVW", 0x80000001, 0, ECX, 9, read_msr, 0xc0010140},
    {"IBS", 0x80000001, 0, ECX, 10, read_msr, 0xc0011030},
    {"LWP", 0x80000001, 0, ECX, 15, read_msr, 0xc0000105},
    {"NodeId", 0x80000001, 0, ECX, 19, read_msr, 0xc001100c},
    {"PerfCtrExtCore", 0x80000001, 0, ECX, 23, read_msr, 0xc0010200},
    {"RDTSCP", 0x80000001, 0, EDX, 27, read_tscp, 0},
    {"RDTSCP's MSR", 0x80000001, 0, EDX, 27, read_msr, (uint32_t)IA32_TSC_AUX},
    {"long mode", 0x80000001, 0, EDX, 29, read_msr, (uint32_t)IA32_EFER},
    {"hardware P-states", 0x80000007, 0, EDX, 7, read_msr, 0xc0010061},
    {"IBRS", 0x80000008, 0, EBX, 14, read_msr, 0x48},
    {"SSBD", 0x80000008, 0, EBX, 24, read_msr, 0x48},
    {"VIRT_SSBD", 0x80000008, 0, EBX, 25, read_msr, 0xc001011f},
    {"SME", 0x8000001f, 0, EAX, 0, read_msr, 0xc0010010},
    {"SEV", 0x8000001f, 0, EAX, 1, read_msr, 0xc0010131},
};

static bool is_made(const struct promise *promise) {
    if (cpuid(promise->leaf & 0x80000000, 0).eax < promise->leaf) {
        return false; /* what a leaf above the highest says is no promise */
    }
    struct cpuid r = cpuid(promise->leaf, promise->subleaf);
    const uint32_t outputs[] = {[EAX] = r.eax, [EBX] = r.ebx, [ECX] = r.ecx, [EDX] = r.edx};
    return outputs[promise->output] >> promise->bit & 1;
}

int guest_main(void) {
    unsigned made = 0;
    interrupts_start();
    for (unsigned i = 0; i < sizeof promises / sizeof promises[0]; i++) {
        if (is_made(&promises[i])) {
            made++;
            check(promises[i].name, !attempt(promises[i].keep, promises[i].msr).any);
        }
    }
    check("PAT and long mode are among what is promised", made >= 2);
    return checks_done();
}
