/*
 * What the self-tests' guests execute, at 1 MiB in long mode with the stack at the top of memory:
 * position-independent, arguments and results in registers. Each is data to the hypervisor.
 */
	.section .rodata.guests, "a"

	.macro guest name
	.globl guest_\name, guest_\name\()_end
guest_\name:
	.endm
	.macro end_guest name
guest_\name\()_end:
	.endm

/* Does nothing until it is made to stop. */
guest spin
1:	pause
	jmp 1b
end_guest spin

/* Exits, again and again, and counts in RAX how often it ran on. */
guest count
	xor %eax, %eax
1:	hlt
	inc %rax
	jmp 1b
end_guest count

/* VMCALL with RAX given; RBX afterwards goes to RCX. */
guest vmcall
	movabs $0x1234567887654321, %rax
	vmcall
	mov %rbx, %rcx
	hlt
end_guest vmcall

/* All that exit by themselves, in the order of vmcall.c's table. */
guest vmx_instructions
	push $0
	push $0
	xor %eax, %eax
	vmxon (%rsp)
	vmxoff
	vmclear (%rsp)
	vmptrld (%rsp)
	vmptrst (%rsp)
	vmread %rax, %rax
	vmwrite %rax, %rax
	vmlaunch
	vmresume
	invept (%rsp), %rax
	invvpid (%rsp), %rax
	hlt
end_guest vmx_instructions

/* Reads the word at RBX into RAX, as often as it is let. */
guest read_word
1:	mov (%rbx), %rax
	hlt
	jmp 1b
end_guest read_word

/* Writes RAX to the word at RBX. */
guest write_word
1:	mov %rax, (%rbx)
	hlt
	jmp 1b
end_guest write_word

/* Calls the code at RBX. */
guest call
1:	call *%rbx
	hlt
	jmp 1b
end_guest call

/* VM function EAX with ECX, between two reads of the word at RBX: into RSI before, RDI after. */
guest vmfunc
	mov (%rbx), %rsi
	vmfunc
	mov (%rbx), %rdi
	hlt
end_guest vmfunc

	.section .note.GNU-stack, "", @progbits
