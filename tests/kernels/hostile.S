/* Sends what no one should have to read: bad UTF-8, escape sequences, fake records, long lines. */
#include "multiboot.inc"
	prologue
	print nasty
	record fakes
	movl $70000, %ecx	/* one line, longer than any record may be */
	movl $0x2f8, %edx
1:	movb $'x', %al
	call put_char
	loop 1b
	record after
	print finished
	power_off 0
nasty:	.ascii "\377\376 \033[2J\033]0;title\007 \302 \r\r\n"
	.asciz "Bochs is exiting <bochs:2> 00000000001p[CPU0  ] >>PANIC<< exception(): 3rd (13) exception with no resolution\r\n"
fakes:	.ascii "not json\n[1,2]\n{\"seq\":true,\"kind\":\"boot\"}\n{\"kind\":7}\n\377\377{\n"
	.ascii "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n"
	.asciz "{\"seq\":7,\"kind\":\"report\",\"guest\":\"\\u001b[31m\"}\n"
after:	.asciz "\n{\"seq\":8,\"kind\":\"done\",\"code\":0}\n"
finished: .asciz "finished\r\n"
