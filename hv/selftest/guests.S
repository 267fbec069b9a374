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

	.section .note.GNU-stack, "", @progbits
