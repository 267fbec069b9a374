/* Lets non-maskable interrupts through the local APIC, with no handler for them. */
#include "multiboot.inc"
	prologue
	movl $0x1ff, 0xfee000f0		/* spurious vector: APIC on */
	movl $0x400, 0xfee00360		/* LINT1: NMI */
	print listening
1:	jmp 1b
listening: .asciz "listening\r\n"
