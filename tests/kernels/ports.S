/*
 * Does what a list says to ports, keeps what it read, and prints that as hexadecimal lines at the end:
 * the same on any machine that has the same devices. The test writes the list over `list`; an entry is
 * an operation, a value and a port: 0 ends, 1 writes, 2 reads and keeps, 3 reads until the bits of the
 * value are set (or patience ends), 4 reads and keeps the bits of the value alone, 5 reads in vain.
 */
#include "multiboot.inc"
	prologue
	cli
	movl $list, %esi
	movl $kept, %edi
next:	movzwl (%esi), %eax
	movb %ah, %bl
	movzwl 2(%esi), %edx
	addl $4, %esi
	testb %al, %al
	jz show
	cmpb $1, %al
	je 1f
	cmpb $3, %al
	je 3f
	movb %al, %cl
	inb %dx, %al
	cmpb $5, %cl
	je next
	cmpb $2, %cl
	je 2f
	andb %bl, %al
2:	stosb
	jmp next
1:	movb %bl, %al
	outb %al, %dx
	jmp next
3:	movl $6000000, %ecx
4:	inb %dx, %al
	andb %bl, %al
	cmpb %bl, %al
	je next
	loop 4b
	jmp next

show:	movl $0x3fb, %edx	/* whatever the list did to the console's own port */
	movb $3, %al
	outb %al, %dx
	incl %edx
	outb %al, %dx
	movl $0x3f8, %edx
	call serial_setup
	movl %edi, %ebp
	movl $kept, %esi
5:	cmpl %ebp, %esi
	je 7f
	movl $0x3f8, %edx
	movzbl (%esi), %ebx
	shrl $4, %ebx
	movb digits(%ebx), %al
	call put_char
	movzbl (%esi), %ebx
	andl $15, %ebx
	movb digits(%ebx), %al
	call put_char
	incl %esi
	movl %esi, %eax
	subl $kept, %eax
	testl $31, %eax
	jnz 5b
	call end_line
	jmp 5b
7:	call end_line
	print done
	power_off 0

end_line:
	pushl %esi
	print line_end
	popl %esi
	ret

digits:	.ascii "0123456789abcdef"
line_end: .asciz "\r\n"
done:	.asciz "end of list\r\n"
	.data
	.balign 8
	.ascii "<ports>\0"
list:	.fill 8192, 4, 0
	.bss
kept:	.skip 8192
