/* Tells QEMU's pvpanic device that it panics. */
#include "multiboot.inc"
	prologue
	print dying
	movl $0x3f8, %edx
	call drain
	movl $0x600df00d, %edi
	movl $0x505, %edx
	movb $1, %al
	outb %al, %dx
	power_off 3
dying:	.asciz "dying\r\n"
