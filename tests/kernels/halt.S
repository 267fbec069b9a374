/* Halts with interrupts off: nothing can wake it. */
#include "multiboot.inc"
	prologue
	print halting
	cli
for_good:
	hlt
	jmp for_good
halting: .asciz "halting\r\n"
