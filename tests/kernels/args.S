/* Prints its command line, then each module's string, size and first bytes. */
#include "multiboot.inc"
	prologue
	movl %ebx, %ebp
	print command
	movl $0x3f8, %edx
	movl 16(%ebp), %esi
	call put_string
	print end
	testl $8, (%ebp)
	jz 9f
	movl 20(%ebp), %ecx	/* how many modules */
	movl 24(%ebp), %edi	/* their list */
1:	jecxz 9f
	pushl %ecx
	print module
	movl $0x3f8, %edx
	movl 8(%edi), %esi
	call put_string
	print first
	movl (%edi), %esi
	movl $8, %ecx
	movl 4(%edi), %eax
	subl %esi, %eax
	cmpl %eax, %ecx
	jbe 2f
	movl %eax, %ecx
2:	jecxz 3f
	lodsb
	call put_char
	loop 2b
3:	print last
	movl $0x3f8, %edx
	movl 4(%edi), %esi
	decl %esi
	lodsb
	call put_char
	print end
	popl %ecx
	addl $16, %edi
	decl %ecx
	jmp 1b
9:	power_off 0
command: .asciz "command line <"
module:	.asciz "module <"
first:	.asciz "> starts with <"
last:	.asciz "> ends with <"
end:	.asciz ">\r\n"
