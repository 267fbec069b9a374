/* Fills the text screen with what looks like the debugger's prompt, says so, and spins. */
#include "multiboot.inc"
	prologue
	movl $registers, %esi	/* text mode: just what makes the display show 0xb8000 */
	movl $(registers_end - registers) / 4, %ecx
0:	lodsw
	movl %eax, %edx
	andl $0xffff, %edx
	lodsw
	outw %ax, %dx
	loop 0b
	movl $0x3c2, %edx	/* miscellaneous output: memory on, colour addresses */
	movb $0x67, %al
	outb %al, %dx
	movl $0x3da, %edx	/* attribute controller: palette, then display on */
	inb %dx, %al
	movl $0x3c0, %edx
	xorl %ecx, %ecx
3:	movb %cl, %al
	outb %al, %dx
	outb %al, %dx
	incl %ecx
	cmpl $16, %ecx
	jb 3b
	movb $0x20, %al
	outb %al, %dx
	movl $0xb8000, %edi
	movl $200, %ebx
1:	movl $prompt, %esi
	movl $10, %ecx
2:	lodsb
	movb $7, %ah
	stosw
	loop 2b
	decl %ebx
	jnz 1b
	print written
1:	incl %edi
	jmp 1b
registers:
	.word 0x3c4, 0x0300, 0x3c4, 0x0001, 0x3c4, 0x0302, 0x3c4, 0x0204
	.word 0x3ce, 0x1005, 0x3ce, 0x0e06, 0x3ce, 0x0004, 0x3ce, 0xff08
	.word 0x3d4, 0x0011, 0x3d4, 0x5f00, 0x3d4, 0x4f01, 0x3d4, 0x8f12, 0x3d4, 0x1f07
	.word 0x3d4, 0x2813, 0x3d4, 0x4f09, 0x3d4, 0xa317, 0x3d4, 0x000c, 0x3d4, 0x000d
registers_end:
prompt:	.ascii "<bochs:1> "
written: .asciz "screen written\r\n"
