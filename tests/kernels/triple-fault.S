/* Loads an empty interrupt table and raises an exception: the processor shuts down. */
#include "multiboot.inc"
	prologue
	print before
	movl $0x3f8, %edx
	call drain
	lidt nothing
	ud2
before:	.asciz "about to fault\r\n"
nothing: .word 0
	.long 0
