/* Says that it is there, and never ends. A known word lies in memory for others to find. */
#include "multiboot.inc"
	prologue
	movl $0x12345678, %edi
	print spinning
1:	incl counter
	jmp 1b
spinning: .asciz "spinning\r\n"
	.data
	.balign 8
	.globl marker
marker:	.ascii "Vanderpool marks"
	.globl counter
counter: .long 0
