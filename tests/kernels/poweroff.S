/* Prints a line, sends two records, powers off with code 5. */
#include "multiboot.inc"
	prologue
	record boot
	print greeting
	record done
	power_off 5
boot:	.asciz "{\"seq\":0,\"kind\":\"boot\",\"build\":\"00c0ffee\"}\n"
greeting: .asciz "Good morning\r\n"
done:	.asciz "{\"seq\":1,\"kind\":\"done\",\"status\":\"ok\",\"code\":5}\n"
