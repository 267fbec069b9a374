/* Prints without end, and never reads. */
#include "multiboot.inc"
	prologue
	movl $0x3f8, %edx
1:	movb $'~', %al
	call put_char
	jmp 1b
