/*
 * Into the guest and back, APM 2 15.5 and 15.6. VMRUN and #VMEXIT switch RAX, RSP, RIP, RFLAGS, control
 * registers and half of the segments; VMLOAD and VMSAVE the other half and the system-call MSRs; the
 * rest of the registers is moved here.
 *
 * GIF is 0 from before the call until STGI: neither an NMI nor a machine check can come while the guest's TR, which
 * holds no stack for them, is loaded. With V_INTR_MASKING physical interrupts go by the RFLAGS.IF that
 * VMRUN finds (15.21.1): it must be 1, or no interrupt would end the guest's slice. Back here it is 0
 * again before STGI: exit.c takes interrupts where it wants them.
 *
 * 53 instructions, the C handler between exit and entry aside.
 */
#include "svm/asm_offsets.h"

	.text

/* void svm_vmrun(struct svm_vcpu *vcpu), with GIF 0 */
	.globl svm_vmrun
svm_vmrun:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	push %rdi
	mov SVM_VCPU_VMCB(%rdi), %rax
	mov REGISTER_R15(%rdi), %r15
	mov REGISTER_R14(%rdi), %r14
	mov REGISTER_R13(%rdi), %r13
	mov REGISTER_R12(%rdi), %r12
	mov REGISTER_R11(%rdi), %r11
	mov REGISTER_R10(%rdi), %r10
	mov REGISTER_R9(%rdi), %r9
	mov REGISTER_R8(%rdi), %r8
	mov REGISTER_RSI(%rdi), %rsi
	mov REGISTER_RBP(%rdi), %rbp
	mov REGISTER_RDX(%rdi), %rdx
	mov REGISTER_RCX(%rdi), %rcx
	mov REGISTER_RBX(%rdi), %rbx
	mov REGISTER_RDI(%rdi), %rdi
	sti
	vmload %rax
	vmrun %rax
	vmsave %rax			/* RAX is what it was at VMRUN */
	mov svm_host_vmcb, %rax
	vmload %rax
	cli
	stgi
	mov %rdi, %rax
	pop %rdi
	mov %rax, REGISTER_RDI(%rdi)
	mov %rbx, REGISTER_RBX(%rdi)
	mov %rcx, REGISTER_RCX(%rdi)
	mov %rdx, REGISTER_RDX(%rdi)
	mov %rbp, REGISTER_RBP(%rdi)
	mov %rsi, REGISTER_RSI(%rdi)
	mov %r8, REGISTER_R8(%rdi)
	mov %r9, REGISTER_R9(%rdi)
	mov %r10, REGISTER_R10(%rdi)
	mov %r11, REGISTER_R11(%rdi)
	mov %r12, REGISTER_R12(%rdi)
	mov %r13, REGISTER_R13(%rdi)
	mov %r14, REGISTER_R14(%rdi)
	mov %r15, REGISTER_R15(%rdi)
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret

	.section .note.GNU-stack, "", @progbits
