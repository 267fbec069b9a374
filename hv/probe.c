/*
 * The probe: boots, says in one record what the processor offers, and powers off. The harness
 * measures engines with it, so that a broken hypervisor never looks like a broken engine.
 */
#include "core/console.h"
#include "core/power.h"
#include "core/records.h"
#include "core/start.h"
#include "cpu/cpuid.h"
#include "cpu/identify.h"
#include "vmx/capabilities.h"

static bool svm_present(void) {
    return cpuid(0x80000000, 0).eax >= 0x8000000a &&
           cpuid(0x80000001, 0).ecx & CPUID_80000001_ECX_SVM;
}

noreturn void image_main(void) {
    bool vmx = vmx_present(), svm = svm_present();
    print("probe", "%s: %s", identify_brand(), vmx ? "VT-x" : svm ? "AMD-V" : "no virtualization");
    record_begin("probe");
    identify_record();
    record_text("virtualization", vmx ? "vmx" : svm ? "svm" : NULL);
    if (vmx) {
        struct vmx_capabilities capabilities;
        vmx_capabilities_read(&capabilities);
        vmx_capabilities_record(&capabilities);
    } else {
        record_open_list("features");
        /* APM 2 15.4: nested paging is CPUID 8000000AH:EDX[0] */
        if (svm && cpuid(0x8000000a, 0).edx & CPUID_8000000A_EDX_NPT) {
            record_text(0, "npt");
        }
        record_close();
    }
    record_end();
    power_off(POWER_OK);
}
