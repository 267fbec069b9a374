#include "svm/capabilities.h"

#include "core/records.h"
#include "cpu/cpuid.h"

#define LEAF_LARGEST_EXTENDED 0x80000000
#define LEAF_EXTENDED         0x80000001
#define LEAF_SVM              0x8000000a

bool svm_present(void) {
    return cpuid(LEAF_LARGEST_EXTENDED, 0).eax >= LEAF_SVM &&
           cpuid(LEAF_EXTENDED, 0).ecx & CPUID_80000001_ECX_SVM;
}

void svm_capabilities_read(struct svm_capabilities *c) {
    struct cpuid leaf = cpuid(LEAF_SVM, 0);
    *c = (struct svm_capabilities){
        .revision = leaf.eax & 0xff, .asids = leaf.ebx, .features = leaf.edx};
}

void svm_capabilities_record(const struct svm_capabilities *c) {
    static const struct {
        const char *name;
        uint32_t feature;
    } names[] = {
        {"npt", SVM_FEATURE_NP},
        {"lbr-virtualization", SVM_FEATURE_LBR},
        {"nrip-save", SVM_FEATURE_NRIPS},
        {"tsc-rate", SVM_FEATURE_TSC_RATE},
        {"vmcb-clean", SVM_FEATURE_VMCB_CLEAN},
        {"flush-by-asid", SVM_FEATURE_FLUSH_BY_ASID},
        {"decode-assists", SVM_FEATURE_DECODE_ASSIST},
        {"pause-filter", SVM_FEATURE_PAUSE_FILTER},
        {"avic", SVM_FEATURE_AVIC},
        {"vgif", SVM_FEATURE_VGIF},
        {"vnmi", SVM_FEATURE_VNMI},
    };
    record_open_list("features");
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (c->features & names[i].feature) {
            record_text(0, names[i].name);
        }
    }
    record_close();
}
