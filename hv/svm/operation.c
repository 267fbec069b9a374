#include "svm/operation.h"

#include "core/console.h"
#include "core/pages.h"
#include "core/refuse.h"
#include "cpu/apic.h"
#include "cpu/control.h"
#include "cpu/msr.h"
#include "debug.h"
#include "svm/bitmaps.h"
#include "svm/quirks.h"
#include "svm/timer.h"
#include "vm/vcpu.h"
#include "vm/xstate.h"

/* APM 2 15.30.1 */
#define VM_CR_LOCK   (1ull << 3)
#define VM_CR_SVMDIS (1ull << 4)

struct svm_capabilities svm_capabilities;
uint64_t svm_host_vmcb;

static void *host_save_area;

/* 15.4: with SVMDIS set EFER.SVME can't be; where LOCK is clear firmware lets us take it back. */
static void permit_svm(void) {
    uint64_t control = rdmsr(VM_CR);
    if (control & VM_CR_SVMDIS && control & VM_CR_LOCK) {
        refuse("locked",
               "firmware has locked AMD-V off (VM_CR is 0x%lx); enable it in the firmware's setup",
               control);
    }
    if (control & VM_CR_SVMDIS) {
        wrmsr(VM_CR, control & ~VM_CR_SVMDIS);
        print("svm", "VM_CR was 0x%lx, unlocked: SVM enabled", control);
    } else {
        print("svm", "VM_CR is 0x%lx: SVM enabled by firmware", control);
    }
}

void svm_start(void) {
    if (debug == DEBUG_BAD_HOST) {
        refuse("bad-option",
               "command line: debug=bad-host is for VT-x: VMRUN checks no host state");
    }
    permit_svm();
    svm_capabilities_read(&svm_capabilities);
    if (!(svm_capabilities.features & SVM_FEATURE_NP)) {
        refuse("no-npt", "this CPU's AMD-V has no NPT (nested page tables)");
    }
    if (svm_capabilities.asids < 2) {
        refuse("no-asid", "this CPU's AMD-V has no address space identifier for guests");
    }
    if (!apic_start()) {
        refuse("no-apic", "this CPU has no local APIC, whose timer ends a guest's time slice");
    }
    write_cr4(read_cr4() | CR4_MCE);
    wrmsr(IA32_EFER, rdmsr(IA32_EFER) | EFER_SVME);
    host_save_area = page_allocate();
    wrmsr(VM_HSAVE_PA, (uint64_t)host_save_area);
    svm_host_vmcb = (uint64_t)page_allocate();
    asm volatile("vmsave %%rax" : : "a"(svm_host_vmcb) : "memory");
    svm_bitmaps_start();
    svm_quirks_try();
    svm_timer_start();
    xstate_start();
    vcpu_features_read();
    print("svm", "on: revision %u, %u ASIDs, NPT%s%s", svm_capabilities.revision,
          svm_capabilities.asids, svm_capabilities.features & SVM_FEATURE_NRIPS ? ", nRIP" : "",
          svm_capabilities.features & SVM_FEATURE_DECODE_ASSIST ? ", decode assists" : "");
}

void svm_stop(void) {
    svm_bitmaps_stop();
    svm_timer_stop();
    apic_stop();
    wrmsr(VM_HSAVE_PA, 0);
    wrmsr(IA32_EFER, rdmsr(IA32_EFER) & ~(uint64_t)EFER_SVME);
    pages_free(host_save_area, 1);
    pages_free((void *)svm_host_vmcb, 1);
    print("svm", "off");
}
