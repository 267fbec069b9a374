/* See attempts.h. Each sets the place to go on at after a fault, tries, and reads the flags. */
	.text
	.macro attempt name, instruction:vararg
	.globl attempt_\name
attempt_\name:
	push %rdi			/* the memory operand of most: (%rsp) */
	lea 1f(%rip), %rax
	mov %rax, fault_resume(%rip)
	test %rsp, %rsp			/* CF and ZF are 0 for instructions that leave them alone */
	\instruction
1:	setc %al
	setz %cl
	movzbl %al, %eax
	movzbl %cl, %ecx
	lea (%rax, %rcx, 2), %eax
	or fault_outcome(%rip), %eax
	movq $0, fault_resume(%rip)
	movl $0, fault_outcome(%rip)
	pop %rdi
	ret
	.endm

	attempt vmxon, vmxon (%rsp)
	attempt vmxon_at, vmxon (%rdi)
	attempt vmxoff, vmxoff
	attempt vmclear, vmclear (%rsp)
	attempt vmptrld, vmptrld (%rsp)
	attempt vmptrst, vmptrst (%rdi)
	attempt vmread, vmread %rdi, (%rsi)
	attempt vmwrite, vmwrite %rsi, %rdi
	attempt vmcall, vmcall
	attempt vmlaunch, vmlaunch
	attempt vmresume, vmresume
	attempt vmfunc, vmfunc
	attempt invept, invept (%rsi), %rdi
	attempt invvpid, invvpid (%rsi), %rdi
	attempt write_cr0, mov %rdi, %cr0
	attempt write_cr4, mov %rdi, %cr4

/*
 * enum outcome attempt_in_ring_3(code selector, RIP, data selector, RSP): goes there by IRET, and comes
 * back by the fault that ends whatever runs there. Segment registers but CS and SS are 0 after that.
 */
	.globl attempt_in_ring_3
attempt_in_ring_3:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, fault_resume_rsp(%rip)
	lea 1f(%rip), %rax
	mov %rax, fault_resume(%rip)
	push %rdx
	push %rcx
	pushf
	push %rdi
	push %rsi
	xor %edx, %edx			/* for the division that ends what should have faulted */
	iretq
1:	mov $0x10, %eax			/* SELECTOR_DATA */
	mov %eax, %ds
	mov %eax, %es
	mov fault_outcome(%rip), %eax
	movl $0, fault_outcome(%rip)
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret

	.section .note.GNU-stack, "", @progbits
