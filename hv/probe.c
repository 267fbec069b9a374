/*
 * The probe: boots, says in one record what the processor offers, and powers off. The harness
 * measures engines with it, so that a broken hypervisor never looks like a broken engine.
 */
#include "core/console.h"
#include "core/power.h"
#include "core/records.h"
#include "core/start.h"
#include "cpu/identify.h"
#include "svm/capabilities.h"
#include "vmx/capabilities.h"

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
    } else if (svm) {
        struct svm_capabilities capabilities;
        svm_capabilities_read(&capabilities);
        svm_capabilities_record(&capabilities);
    } else {
        record_open_list("features");
        record_close();
    }
    record_end();
    power_off(POWER_OK);
}
