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

	.section .note.GNU-stack, "", @progbits
