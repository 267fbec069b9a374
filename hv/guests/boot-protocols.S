/*
 * A kernel that tells what it was handed, by whichever protocol it was booted: it is a Linux kernel
 * (boot.rst) and a multiboot 1 kernel with address fields at once. It prints
 *
 *     protocol linux|multiboot
 *     cmdline TEXT
 *     file NAME SIZE SUM         the initial RAM disk ("initrd"), or each module by its string: bytes and
 *                                the sum of them, hexadecimal
 *     memory END                 of the highest region of RAM, hexadecimal
 *     bios DIRTY                 the sum of the BIOS's areas, which must be 0
 *
 * and halts.
 */
#include "boot/multiboot.h"

	.set LOADED_AT, 0x100000	/* the code's address, by both headers */
	.set SETUP_SECTORS, 1
	.set UART, 0x3f8

	.code32
	.section .text.start, "ax"
	.globl guest_start
guest_start:			/* the file's first byte: Linux's setup code, which nobody runs */
	.org 0x1f1
	.byte SETUP_SECTORS
	.word 0
	.long (end - code + 15) / 16	/* syssize */
	.word 0, 0, 0
	.word 0xaa55
	.byte 0xeb, header_end - 0x202 - guest_start
	.ascii "HdrS"
	.word 0x020c
	.long 0
	.word 0, 0
	.byte 0, 1			/* loadflags: LOADED_HIGH */
	.word 0
	.long LOADED_AT, 0, 0, 0
	.word 0
	.byte 0, 0
	.long 0
	.long 0x7fffffff		/* initrd_addr_max */
	.long 0x1000			/* kernel_alignment */
	.byte 0, 12			/* not relocatable */
	.word 0
	.long 2047			/* cmdline_size */
	.long 0
	.quad 0
	.long 0, 0
	.quad 0
	.quad LOADED_AT			/* pref_address */
	.long 0x10000			/* init_size */
	.long 0
header_end:

	.org 512 * (1 + SETUP_SECTORS)
code:
	jmp start
	.balign 4
multiboot_header:
	.set FLAGS, MULTIBOOT_HEADER_FLAGS
	.long MULTIBOOT_HEADER_MAGIC, FLAGS, -(MULTIBOOT_HEADER_MAGIC + FLAGS)
	.long LOADED_AT + multiboot_header - code, LOADED_AT, 0, LOADED_AT + 0x10000, LOADED_AT

/* The address of a place in this file, once loaded. */
#define AT(place) (LOADED_AT + (place) - code)

start:
	mov $LOADED_AT + 0x10000, %esp
	cld
	cmp $MULTIBOOT_LOADER_MAGIC, %eax
	je multiboot

linux:
	mov %esi, %ebp			/* boot_params */
	mov $AT(says_linux), %esi
	call print
	mov 0x228(%ebp), %esi		/* cmd_line_ptr */
	call print
	call end_line
	mov 0x21c(%ebp), %ecx		/* ramdisk_size */
	jecxz 1f
	mov $AT(says_file), %esi
	call print
	mov $AT(says_initrd), %esi
	call print
	mov 0x218(%ebp), %esi		/* ramdisk_image */
	call print_file
1:	movzbl 0x1e8(%ebp), %eax	/* e820_entries */
	imul $20, %eax
	lea 0x2d0 - 20(%ebp, %eax), %ebx
	jmp finish

multiboot:
	mov %ebx, %ebp
	mov $AT(says_multiboot), %esi
	call print
	mov 16(%ebp), %esi		/* cmdline */
	call print
	call end_line
	mov 20(%ebp), %edx		/* mods_count */
	mov 24(%ebp), %ebx		/* mods_addr */
1:	test %edx, %edx
	jz 2f
	mov $AT(says_file), %esi
	call print
	mov 8(%ebx), %esi
	call print
	mov (%ebx), %esi
	mov 4(%ebx), %ecx
	sub %esi, %ecx
	call print_file
	add $16, %ebx
	dec %edx
	jmp 1b
2:	mov 48(%ebp), %ebx		/* mmap_addr, mmap_length: the last entry, without its size */
	add 44(%ebp), %ebx
	sub $20, %ebx

finish:				/* EBX: the highest region of memory */
	mov $AT(says_memory), %esi
	call print
	mov (%ebx), %eax
	add 8(%ebx), %eax
	call print_number
	call end_line
	mov $AT(says_bios), %esi
	call print
	mov $0x400, %esi		/* the BIOS's data area */
	mov $0x100, %ecx
	call sum
	mov %eax, %ebx
	mov $0x9fc00, %esi		/* its extended data area, video memory, ROMs */
	mov $0x100000 - 0x9fc00, %ecx
	call sum
	add %ebx, %eax
	call print_number
	call end_line
	cli
	hlt

/* EAX: the sum of the ECX bytes at ESI. */
sum:
	push %edx
	xor %edx, %edx
	xor %eax, %eax
	jecxz 2f
1:	lodsb
	add %eax, %edx
	loop 1b
2:	mov %edx, %eax
	pop %edx
	ret

/* How many bytes the file at ESI has, ECX, and their sum. */
print_file:
	mov %ecx, %eax
	call print_number
	call sum
	call print_number
	/* fall through */
end_line:
	mov $'\n', %al
put:
	push %edx
	mov $UART, %edx
	out %al, %dx
	pop %edx
	ret

print:				/* the string at ESI */
	lodsb
	test %al, %al
	jz 1f
	call put
	jmp print
1:	ret

print_number:			/* EAX, behind a space; all registers are kept */
	pusha
	mov %eax, %ebx
	mov $' ', %al
	call put
	mov $8, %ecx
1:	rol $4, %ebx
	mov %ebx, %eax
	and $15, %eax
	mov AT(digits)(%eax), %al
	call put
	loop 1b
	popa
	ret

says_linux: .asciz "protocol linux\ncmdline "
says_multiboot: .asciz "protocol multiboot\ncmdline "
says_file: .asciz "file "
says_initrd: .asciz "initrd"
says_memory: .asciz "memory"
says_bios: .asciz "bios"
digits: .ascii "0123456789abcdef"
	.balign 16
end:

	.section .note.GNU-stack, "", @progbits
