/* Does what a panicking hypervisor does: a line, then a record, then power off with code 3. */
#include "multiboot.inc"
	prologue
	record boot
	print fine
	print line
	record panic
	record done
	power_off 3
	.globl culprit
culprit: nop
	ret
	.size culprit, . - culprit
fine:	.asciz "[    0.000001] all is well\r\n"
line:	.asciz "[    0.000002] panic: the pond is empty\r\n"
boot:	.asciz "{\"seq\":0,\"kind\":\"boot\",\"build\":\"00c0ffee\"}\n"
	/* 0x100000 is where these kernels are linked; the stack is made up. */
panic:	.asciz "{\"seq\":1,\"kind\":\"panic\",\"message\":\"the pond is empty\",\"rip\":\"0x100100\",\"stack\":[\"0xdead0000\"]}\n"
done:	.asciz "{\"seq\":2,\"kind\":\"done\",\"status\":\"panic\",\"code\":3}\n"
