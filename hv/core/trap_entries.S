/* One entry an exception: makes the stack look alike for all, then calls trap(). SDM 3A 6.13-6.14. */

	.text
	.macro entry vector
	.balign 16
trap_entry_\vector:
	/* The processor pushes an error code for #DF #TS #NP #SS #GP #PF #AC #CP only. */
	.if !(\vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17 || \vector == 21)
	push $0
	.endif
	push $\vector
	jmp trap_common
	.endm

	.altmacro
	.set vector, 0
	.rept 32
	entry %vector
	.set vector, vector + 1
	.endr

trap_common:
	push %rax
	push %rbx
	push %rcx
	push %rdx
	push %rsi
	push %rdi
	push %rbp
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, %rdi
	cld
	call trap			/* the frame's 22 words keep the stack 16-byte aligned */
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rbp
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	pop %rbx
	pop %rax
	add $16, %rsp			/* vector and error code */
	iretq

/* Any interrupt: who raised it is the handler's question to the interrupt controllers. */
	.globl interrupt_entry
interrupt_entry:
	push %rax
	push %rcx
	push %rdx
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %rbp
	mov %rsp, %rbp			/* the processor has aligned the stack, and pushed five words */
	and $-16, %rsp
	cld
	call *interrupt_handler
	mov %rbp, %rsp
	pop %rbp
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	pop %rax
	iretq

	.section .rodata
	.balign 8
	.globl trap_entries
trap_entries:
	.macro address vector
	.quad trap_entry_\vector
	.endm
	.set vector, 0
	.rept 32
	address %vector
	.set vector, vector + 1
	.endr

	.section .note.GNU-stack, "", @progbits
