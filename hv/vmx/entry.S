/*
 * Into the guest and back. While the guest runs, HOST_RSP points just past the registers in struct
 * vmx_vcpu, so the exit path's pushes store the guest's registers where they belong; then it moves
 * to the hypervisor's own stack. Interrupts are off; NMI and #MC have stacks of their own, so
 * nothing else pushes in between.
 *
 * The way from exit to resume is 35 instructions here, beside the C handler that they call.
 */
#include "vmx/asm_offsets.h"

	.text

/* void vmx_enter(struct vmx_vcpu *vcpu) */
	.globl vmx_enter
vmx_enter:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	push %rdi			/* for `pop %rsp` below */
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
	vmlaunch
	jmp entry_failed		/* never into VMRESUME: that would overwrite the error number */
1:	vmresume

/* VMLAUNCH or VMRESUME came back: RSP is just past the registers, which are as they were. */
entry_failed:
	lea -VCPU_REGISTERS_SIZE(%rsp), %rdi
	mov VCPU_HOST_STACK(%rdi), %rsp
	call vmx_entry_failed
	ud2

	.globl vmx_exit_entry
vmx_exit_entry:
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
	call *vmx_exit_handler
	pop %rsp
	pop %r15
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
	vmresume
	jmp entry_failed

/* void vmx_leave(void *host_stack): returns from the vmx_enter that left this stack. */
	.globl vmx_leave
vmx_leave:
	mov %rdi, %rsp
	add $8, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret

	.section .note.GNU-stack, "", @progbits
