/* As vmx/entry.S, but what ends an entry returns to its caller. */
#include "vmx/asm_offsets.h"

	.text

	/* uint64_t NAME(struct vmx_vcpu *vcpu): 0 after a VM exit, else RFLAGS after the failure */
	.macro enter_function name, just_before:vararg
	.globl \name
\name:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, VCPU_HOST_STACK(%rdi)
	cmpb $0, VCPU_LAUNCHED(%rdi)
	mov %rdi, %rsp
	pop %r15			/* pops leave the flags of cmpb alone */
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rbp
	pop %rdx
	pop %rcx
	pop %rbx
	pop %rax
	jne 1f
	\just_before
	vmlaunch
	jmp failed
1:	\just_before
	vmresume
	jmp failed
	.endm

	enter_function enter_once
	enter_function enter_once_after_mov_ss, mov data_selector(%rip), %ss

failed:
	lea -VCPU_REGISTERS_SIZE(%rsp), %rdi	/* lea and mov leave the flags alone */
	mov VCPU_HOST_STACK(%rdi), %rsp
	pushf
	pop %rax
	jmp back

	.globl entry_exit_point
entry_exit_point:
	push %rax
	push %rbx
	push %rcx
	push %rdx
	push %rbp
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, %rdi
	mov VCPU_HOST_STACK(%rdi), %rsp
	xor %eax, %eax
back:
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret

	.section .rodata
data_selector:
	.word 0x10			/* SELECTOR_DATA, cpu/descriptors.h */

	.section .note.GNU-stack, "", @progbits
