/* Sends back what the console sends, in capitals; "." powers off. */
#include "multiboot.inc"
	prologue
	print ready
	movl $0x3f8, %edx
1:	addl $5, %edx
2:	inb %dx, %al
	testb $1, %al
	jz 2b
	subl $5, %edx
	inb %dx, %al
	cmpb $'.', %al
	je 4f
	cmpb $'a', %al
	jb 3f
	cmpb $'z', %al
	ja 3f
	subb $32, %al
3:	call put_char
	jmp 1b
4:	power_off 0
ready:	.asciz "ready\r\n"
