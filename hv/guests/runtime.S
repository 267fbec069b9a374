/* A guest's first instructions: in 64-bit mode, with a stack, as vm/load_flat.c left it. */
#include "guests/hypercall.inc"

	.section .text.start, "ax"
	.globl guest_start
guest_start:
	cld
	choose_hypercall
	xor %ebp, %ebp
	call guest_main
	mov %eax, %edi			/* what guest_main returns is the guest's exit code */
	call guest_exit
	ud2

	.section .note.GNU-stack, "", @progbits
