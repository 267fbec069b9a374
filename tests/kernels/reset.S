/* Resets the machine through the reset control register. */
#include "multiboot.inc"
	prologue
	print before
	movl $0x3f8, %edx
	call drain
	movl $0xcf9, %edx
	movb $2, %al
	outb %al, %dx
	movb $6, %al
	outb %al, %dx
1:	hlt
	jmp 1b
before:	.asciz "about to reset\r\n"
