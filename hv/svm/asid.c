#include "svm/asid.h"

#include "svm/operation.h"

/* 0 is the hypervisor's. When they run out everything is flushed and all begin anew: an identifier of an
 * earlier generation is worth nothing. Generation 0 is that of a vCPU that never ran. */
static uint64_t generation;
static uint32_t last;

void asid_take(struct svm_vcpu *vcpu) {
    if (vcpu->generation && vcpu->generation == generation) {
        return;
    }
    vcpu->vmcb->control.tlb_control = TLB_DO_NOTHING;
    if (!generation || last == svm_capabilities.asids - 1) {
        generation++;
        last = 0;
        /* Also what whoever used AMD-V before us has left behind. */
        vcpu->vmcb->control.tlb_control = TLB_FLUSH_ALL;
    }
    vcpu->generation = generation;
    vcpu->vmcb->control.guest_asid = ++last;
}

void asid_flush(struct svm_vcpu *vcpu) {
    bool single = svm_capabilities.features & SVM_FEATURE_FLUSH_BY_ASID;
    uint8_t *control = &vcpu->vmcb->control.tlb_control;
    *control = single && *control != TLB_FLUSH_ALL ? TLB_FLUSH_GUEST : TLB_FLUSH_ALL;
}
