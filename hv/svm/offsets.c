/* Compiled to assembly only: hv.mk turns each line into a #define in build/hv/svm/asm_offsets.h. */
#include <stddef.h>

#include "svm/vcpu.h"

#define OFFSET(name, value) asm volatile("@offset " #name " %0" : : "i"(value))

void offsets(void);

void offsets(void) {
    OFFSET(SVM_VCPU_VMCB, offsetof(struct svm_vcpu, vmcb));
    OFFSET(REGISTER_RBX, offsetof(struct svm_vcpu, vcpu.registers.rbx));
    OFFSET(REGISTER_RCX, offsetof(struct svm_vcpu, vcpu.registers.rcx));
    OFFSET(REGISTER_RDX, offsetof(struct svm_vcpu, vcpu.registers.rdx));
    OFFSET(REGISTER_RBP, offsetof(struct svm_vcpu, vcpu.registers.rbp));
    OFFSET(REGISTER_RSI, offsetof(struct svm_vcpu, vcpu.registers.rsi));
    OFFSET(REGISTER_RDI, offsetof(struct svm_vcpu, vcpu.registers.rdi));
    OFFSET(REGISTER_R8, offsetof(struct svm_vcpu, vcpu.registers.r8));
    OFFSET(REGISTER_R9, offsetof(struct svm_vcpu, vcpu.registers.r9));
    OFFSET(REGISTER_R10, offsetof(struct svm_vcpu, vcpu.registers.r10));
    OFFSET(REGISTER_R11, offsetof(struct svm_vcpu, vcpu.registers.r11));
    OFFSET(REGISTER_R12, offsetof(struct svm_vcpu, vcpu.registers.r12));
    OFFSET(REGISTER_R13, offsetof(struct svm_vcpu, vcpu.registers.r13));
    OFFSET(REGISTER_R14, offsetof(struct svm_vcpu, vcpu.registers.r14));
    OFFSET(REGISTER_R15, offsetof(struct svm_vcpu, vcpu.registers.r15));
}
