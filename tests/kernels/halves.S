/* Writes half a record, waits for a key, and writes the other half. */
#include "multiboot.inc"
	prologue
	record first
	print half
	movl $0x3fd, %edx
1:	inb %dx, %al
	testb $1, %al
	jz 1b
	record second
	power_off 0
half:	.asciz "half\r\n"
first:	.asciz "{\"seq\":0,\"kind\":\"who"
second:	.asciz "le\",\"value\":42}\n"
