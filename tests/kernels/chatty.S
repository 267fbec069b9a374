/* Writes 20000 bytes, then a word at 2 MiB for who looks into memory. */
#include "multiboot.inc"
	prologue
	movl $20000, %ecx
	movl $0x3f8, %edx
1:	movb $'~', %al
	call put_char
	loop 1b
	movl $finished, %esi
	movl $0x200000, %edi
	movl $14, %ecx
	rep movsb
1:	hlt
	jmp 1b
finished: .ascii "all is written"
