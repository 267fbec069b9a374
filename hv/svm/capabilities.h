/* What this processor's AMD-V offers: CPUID 8000_000A, APM 2 15.4 and APM 3 E.4.9. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct svm_capabilities {
    uint32_t revision, asids;
    uint32_t features; /* EDX */
};

/* CPUID 8000_000A:EDX */
#define SVM_FEATURE_NP            (1u << 0)
#define SVM_FEATURE_LBR           (1u << 1)
#define SVM_FEATURE_NRIPS         (1u << 3)
#define SVM_FEATURE_TSC_RATE      (1u << 4)
#define SVM_FEATURE_VMCB_CLEAN    (1u << 5)
#define SVM_FEATURE_FLUSH_BY_ASID (1u << 6)
#define SVM_FEATURE_DECODE_ASSIST (1u << 7)
#define SVM_FEATURE_PAUSE_FILTER  (1u << 10)
#define SVM_FEATURE_AVIC          (1u << 13)
#define SVM_FEATURE_VGIF          (1u << 16)
#define SVM_FEATURE_VNMI          (1u << 25)

bool svm_present(void);
void svm_capabilities_read(struct svm_capabilities *capabilities);

/* The member "features" of a record: a list of lower-case words (npt, nrip-save, ...). */
void svm_capabilities_record(const struct svm_capabilities *capabilities);
