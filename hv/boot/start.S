/*
 * From the multiboot loader to C: 32-bit protected mode, paging off (multiboot 1, section 3.2),
 * becomes 64-bit mode with the first 4 GiB identity-mapped. paging.c replaces these tables with
 * stricter ones as soon as it can.
 */
#include "boot/multiboot.h"
#include "cpu/control.h"

	.section .multiboot, "a"
	.balign 4
multiboot_header:
	.long MULTIBOOT_HEADER_MAGIC
	.long MULTIBOOT_HEADER_FLAGS
	.long -(MULTIBOOT_HEADER_MAGIC + MULTIBOOT_HEADER_FLAGS)
	.long multiboot_header		/* where this header is loaded */
	.long image_start		/* load from here ... */
	.long image_data_end		/* ... to here ... */
	.long image_end			/* ... and clear up to here */
	.long start

	.text
	.code32
	.globl start
start:
	cli
	cld
	mov $boot_stack_top, %esp
	cmp $MULTIBOOT_LOADER_MAGIC, %eax
	mov $not_multiboot, %esi
	jne refuse
	mov %ebx, %ebp			/* CPUID overwrites EBX; EBP keeps the information's address */

	/* 64-bit mode there? CPUID 80000001H:EDX[29], SDM 2A, CPUID. */
	mov $0x80000000, %eax
	cpuid
	cmp $0x80000001, %eax
	mov $no_long_mode, %esi
	jb refuse
	mov $0x80000001, %eax
	cpuid
	mov $no_long_mode, %esi
	bt $29, %edx
	jnc refuse
	mov $no_execute_disable, %esi
	bt $20, %edx
	jnc refuse

	/* PML4[0] -> PDPT; PDPT[0..3] -> four page directories of 2 MiB pages. */
	movl $boot_pdpt + 3, boot_pml4
	mov $boot_pdpt, %edi
	mov $boot_directories + 3, %eax
	mov $4, %ecx
1:	mov %eax, (%edi)
	add $4096, %eax
	add $8, %edi
	loop 1b
	mov $boot_directories, %edi
	mov $0x83, %eax			/* present, writable, 2 MiB */
	mov $2048, %ecx
1:	mov %eax, (%edi)
	add $0x200000, %eax
	add $8, %edi
	loop 1b

	/* SDM 3A 10.8.5: PAE, then CR3, then EFER.LME, then paging. */
	mov $CR4_PAE, %eax
	mov %eax, %cr4
	mov $boot_pml4, %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	rdmsr
	or $(EFER_LME | EFER_NXE), %eax
	wrmsr
	mov $(CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG), %eax
	mov %eax, %cr0
	lgdt boot_gdt_pointer
	ljmp $0x08, $start64

/* ESI: why not. Nothing is set up, so say it on COM1 and power off as core/power.c does. */
refuse:
	mov $0x3f8 + 3, %edx		/* line control: 8 data bits, no parity */
	mov $0x03, %al
	out %al, %dx
1:	mov $0x3f8 + 5, %edx
2:	in %dx, %al
	test $0x20, %al			/* holding register empty */
	jz 2b
	mov $0x3f8, %edx
	lodsb
	out %al, %dx
	cmp $'\n', %al
	jne 1b
	mov $0x3f8 + 5, %edx
3:	in %dx, %al
	test $0x40, %al			/* the last bit has left */
	jz 3b
	mov $2, %al			/* POWER_REFUSED */
	out %al, $0xf4
	mov $0x8900, %edx
	mov $shutdown_word, %esi
	mov $8, %ecx
	rep outsb
4:	hlt
	jmp 4b

	.code64
start64:
	xor %eax, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov %eax, %ss
	mov $boot_stack_top, %esp	/* zero-extends */
	mov %ebp, %edi
	xor %ebp, %ebp			/* the outermost frame, for stack traces */
	call hv_start
	ud2

	.section .rodata
not_multiboot:
	.ascii "boot: refused: not started by a multiboot 1 loader\r\n"
no_long_mode:
	.ascii "boot: refused: this CPU has no 64-bit mode\r\n"
no_execute_disable:
	.ascii "boot: refused: this CPU has no execute-disable bit\r\n"
shutdown_word:
	.ascii "Shutdown"

	.section .data
	.balign 8
boot_gdt:
	.quad 0
	.quad 0x00af9b000000ffff	/* 64-bit code, accessed */
boot_gdt_pointer:
	.word . - boot_gdt - 1
	.long boot_gdt

	.section .bss.guard, "aw", @nobits
	.balign 4096
	.globl boot_stack_guard
boot_stack_guard:			/* paging.c leaves this page unmapped */
	.skip 4096
	.skip 16384
boot_stack_top:

	.section .bss
	.balign 4096
boot_pml4:
	.skip 4096
boot_pdpt:
	.skip 4096
boot_directories:
	.skip 4 * 4096

	.section .note.GNU-stack, "", @progbits
