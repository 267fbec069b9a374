/*
 * A kernel for a price: what page tables below a guest's own make of its memory accesses. It runs bare and
 * as a guest (boot=multiboot), and does the same in both. It maps its first 272 MiB by pages of 4 KiB
 * and reads four bytes of a page, of another page, ...: FAR_READS times among 65536 pages, which no TLB
 * holds, so that nearly each access walks the tables; then NEAR_READS times among 32, where none does. Of
 * both in turn, until it is stopped, it prints
 *
 *     far begins
 *     far took TICKS
 *     near begins
 *     near took TICKS
 *
 * in hexadecimal: harness/bench/walks.py takes the time between the lines. Each walk is short, for then a
 * host that is faster for a second is so for both.
 */
#include "boot/multiboot.h"
#include "cpu/control.h"

	.set LOADED_AT, 0x100000	/* hv/guests/guest.ld */
	.set UART, 0x3f8
	.set TABLES, 0x200000		/* PML4, PDPT, page directory, then one page table behind the other */
	.set MAPPED, 272		/* MiB */
	.set FIRST, 0x1000000		/* of the memory that is read */
	.set FAR, 0x10000		/* pages */
	.set NEAR, 0x20
	.set FAR_READS, 0x20000
	.set NEAR_READS, 0x200000	/* for walks.py: 16 * FAR_READS */
	.set STEP, 0x9e5		/* pages from one read to the next: odd, so that it comes to all of them */
	.set PRESENT_WRITABLE, 3

	.code32
	.section .text.start, "ax"
	.globl guest_start
guest_start:
	jmp start
	.balign 4
multiboot_header:
	.long MULTIBOOT_HEADER_MAGIC, MULTIBOOT_HEADER_FLAGS
	.long -(MULTIBOOT_HEADER_MAGIC + MULTIBOOT_HEADER_FLAGS)
	.long multiboot_header, LOADED_AT, end, stack_top, LOADED_AT

start:
	mov $stack_top, %esp
	cld

	movl $TABLES + 0x1000 + PRESENT_WRITABLE, TABLES
	movl $TABLES + 0x2000 + PRESENT_WRITABLE, TABLES + 0x1000
	mov $TABLES + 0x2000, %edi
	mov $TABLES + 0x3000 + PRESENT_WRITABLE, %eax
	mov $MAPPED / 2, %ecx
	call fill			/* the page directory: a page table each 2 MiB */
	mov $TABLES + 0x3000, %edi
	mov $PRESENT_WRITABLE, %eax
	mov $MAPPED << 8, %ecx
	call fill			/* the page tables: a page each 4 KiB */

	/* SDM 3A 10.8.5: PAE, then CR3, then EFER.LME, then paging. */
	mov $CR4_PAE, %eax
	mov %eax, %cr4
	mov $TABLES, %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	rdmsr
	or $EFER_LME, %eax
	wrmsr
	mov $(CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG), %eax
	mov %eax, %cr0
	lgdt gdt_pointer
	ljmp $0x08, $start64

/* ECX entries at EDI: EAX, and each 4 KiB further than the one before. */
fill:
	mov %eax, (%edi)
	add $0x1000, %eax
	add $8, %edi
	loop fill
	ret

	.code64
start64:
	xor %eax, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $UART + 3, %edx		/* line control: 8 data bits, no parity */
	mov $3, %al
	out %al, %dx

	mov $FAR - 1, %ebx
	mov $FAR, %ecx
	call walk			/* once for nothing: emulators get their memory from the host when it is used */
1:	mov $far, %ebp
	mov $FAR - 1, %ebx
	mov $FAR_READS, %r11d
	call measure
	mov $near, %ebp
	mov $NEAR - 1, %ebx
	mov $NEAR_READS, %r11d
	call measure
	jmp 1b

/* EBP: its name. EBX: how many pages, less one. R11D: how many reads. */
measure:
	mov %ebp, %esi
	call print
	mov $says_begins, %esi
	call print
	mov %r11d, %ecx
	rdtsc
	mov %eax, %r8d
	call walk
	rdtsc				/* the lower half is enough */
	sub %r8d, %eax
	mov %eax, %r8d
	mov %ebp, %esi
	call print
	mov $says_took, %esi
	call print
	mov $8, %r9d
1:	rol $4, %r8d
	mov %r8d, %esi
	and $15, %esi
	mov digits(%rsi), %al
	call put
	dec %r9d
	jnz 1b
	mov $'\n', %al
	/* fall through */
put:
	mov %eax, %edi
	mov $UART + 5, %edx
1:	in %dx, %al
	test $0x20, %al			/* holding register empty */
	jz 1b
	mov %edi, %eax
	mov $UART, %edx
	out %al, %dx
	ret

print:				/* the string at ESI */
	lodsb
	test %al, %al
	jz 1f
	call put
	jmp print
1:	ret

/* ECX reads among EBX + 1 pages (a power of 2). Lines of the cache change with the pages. */
walk:
	xor %eax, %eax
	.balign 16
1:	mov %eax, %edx
	mov %eax, %esi
	shl $12, %edx
	and $63, %esi
	shl $6, %esi
	mov FIRST(%rdx, %rsi), %edi
	add $STEP, %eax
	and %ebx, %eax
	dec %ecx
	jnz 1b
	ret

far: .asciz "far"
near: .asciz "near"
says_begins: .asciz " begins\n"
says_took: .asciz " took 0x"
digits: .ascii "0123456789abcdef"

	.balign 8
gdt:
	.quad 0
	.quad 0x00af9b000000ffff	/* 64-bit code */
gdt_pointer:
	.word . - gdt - 1
	.long gdt
	.balign 16
end:
	.skip 4096
stack_top:

	.section .note.GNU-stack, "", @progbits
