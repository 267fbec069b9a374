/* Says that it is there, and never ends, but goes round so large a loop that it is not in one place. */
#include "multiboot.inc"
	prologue
	print wandering
1:	.rept 16384
	nop
	.endr
	jmp 1b
wandering: .asciz "wandering\r\n"
