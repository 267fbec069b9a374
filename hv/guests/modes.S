/*
 * Walks through the processor's modes and back to real mode, twice: real, 16-bit protected, 32-bit
 * protected without paging, 32-bit paging, the same with 4 MiB pages, PAE, compatibility mode, 64-bit
 * mode, real again. In each it shows by something that only that mode does that it is there, and reaches
 * a device as that mode does, which the hypervisor must decode. Started with mode=real.
 *
 * Each stage reports its number, the second time plus 0x10. Right after each change of CR0 comes a
 * CPUID: its exit and entry must carry the state in between, which is no mode of any manual's figure.
 */
#include "cpu/control.h"
#include "guests/hypercall.inc"

	.set HYPERCALL_EXIT, 1		/* guests/abi.h */
	.set HYPERCALL_REPORT, 2
	.set UART, 0x3f8
	.set DEVICE, 0xd0000000		/* dev/scratch.h */

	/* Guest-physical, all zero at the start. */
	.set WORD_LOW, 0x10010
	.set WORD_HIGH, 0x200000
	.set TABLES, 0x20000		/* 32-bit paging: directory, table */
	.set LARGE_TABLES, 0x22000	/* with 4 MiB pages: directory */
	.set PAE_TABLES, 0x24000	/* PDPT, directories, a page table */
	.set LONG_TABLES, 0x30000	/* PML4; shares the PAE directories by a PDPT of its own */
	.set ALIAS, 0x40000000		/* linear: here the page of WORD_LOW appears again */
	.set DEVICE_ALIAS, 0x40001000	/* and the device */

	.set CODE_16, 0x08
	.set DATA_16, 0x10
	.set CODE_32, 0x18
	.set DATA_32, 0x20
	.set CODE_64, 0x28
	.set DATA_BASE, 0x30		/* a base that no real-mode segment has */
	.set DATA_DEVICE, 0x38

/* Ends a stage: passed if ZF. */
.macro report number
	mov $0, %edi			/* leaves ZF alone */
	jne 1f
	mov $1, %edi
1:	mov round, %esi
	add $\number, %esi
	mov $HYPERCALL_REPORT, %eax
	hypercall
.endm

.macro say text
	.pushsection .rodata
1:	.asciz "\text\n"
	.popsection
	mov $1b, %esi
	call print\@
	jmp 2f
print\@:
	mov $UART, %edx
3:	mov (%esi), %al
	test %al, %al
	je 4f
	out %al, %dx
	inc %esi
	jmp 3b
4:	ret
2:
.endm

/* Changes CR0 and looks away for a moment. */
.macro set_cr0 clear, set
	mov %cr0, %eax
	and $~(\clear), %eax
	or $\set, %eax
	mov %eax, %cr0
	xor %eax, %eax
	cpuid
.endm

/* Sets ZF if what is written to a device register comes back, cut and extended. The operand is
 * segment:number(registers). */
.macro try_device number, segment=%ds, registers:vararg
	movl $0x89abcdef, \segment:\number\registers
	movzwl \segment:\number\registers, %eax
	movsbl \segment:\number+3\registers, %ecx
	add %ecx, %eax
	cmp $0xcdef + 0xffffff89 - 0x100000000, %eax
.endm

	.section .text.start, "ax"
	.code16
	.globl start
start:
	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	mov $0x7c00, %sp
	choose_hypercall
again:
	say "real mode"
	/* The same byte by two segments, and 1 MiB is not the end: A20 is on. */
	mov $0x1000, %ax
	mov %ax, %ds
	movw $0x1234, 0x10
	mov $0x0800, %ax
	mov %ax, %ds
	cmpw $0x1234, 0x8010
	mov $0, %ax
	mov %ax, %ds
	report 1

	lgdt gdtr
	set_cr0 0, CR0_PE
	ljmp $CODE_16, $protected_16
protected_16:
	mov $DATA_16, %ax
	mov %ax, %ss
	mov %ax, %ds
	say "16-bit protected mode"
	mov $DATA_BASE, %ax
	mov %ax, %es
	movw $0x4321, %es:0x20
	cmpw $0x4321, 0x2340 + 0x20	/* DATA_BASE's base is 0x2340 */
	jne 5f
	mov $DATA_DEVICE, %ax
	mov %ax, %es
	mov $0x40, %bx
	mov $4, %di
	try_device 4, %es, (%bx,%di)
5:	report 2

	ljmp $CODE_32, $protected_32
	.code32
protected_32:
	mov $DATA_32, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $0x7c00, %esp
	say "32-bit protected mode"
	mov %esp, %ebx
	push $-1			/* four bytes */
	sub %esp, %ebx
	pop %eax
	cmp $4, %ebx
	jne 5f
	movl $0x55aa55aa, WORD_HIGH
	cmpl $0x55aa55aa, WORD_HIGH
	jne 5f
	try_device DEVICE+0x10
5:	report 3

	call write_tables
	mov $TABLES, %eax
	mov %eax, %cr3
	set_cr0 0, CR0_PG
	say "32-bit paging"
	incl WORD_LOW
	mov WORD_LOW, %eax
	cmp %eax, ALIAS + (WORD_LOW & 0xfff)
	jne 5f
	try_device DEVICE_ALIAS+0x20
5:	report 4

	/* 4 MiB pages, turned on while paging is: the second directory's entries would be tables else. */
	mov %cr4, %eax
	or $CR4_PSE, %eax
	mov %eax, %cr4
	mov $LARGE_TABLES, %eax
	mov %eax, %cr3
	say "32-bit paging with 4 MiB pages"
	incl WORD_LOW
	mov WORD_LOW, %eax
	cmp %eax, ALIAS + WORD_LOW
	jne 5f
	try_device DEVICE+0x30
5:	report 5

	set_cr0 CR0_PG, 0
	mov %cr4, %eax
	and $~CR4_PSE, %eax
	or $CR4_PAE, %eax
	mov %eax, %cr4
	mov $PAE_TABLES, %eax
	mov %eax, %cr3
	set_cr0 0, CR0_PG
	say "PAE paging"
	incl WORD_LOW
	mov WORD_LOW, %eax
	cmp %eax, ALIAS + (WORD_LOW & 0xfff)
	jne 5f
	try_device DEVICE_ALIAS+0x40
5:	report 6

	set_cr0 CR0_PG, 0
	mov $MSR_EFER, %ecx
	rdmsr
	or $EFER_LME, %eax
	wrmsr
	mov $LONG_TABLES, %eax
	mov %eax, %cr3
	set_cr0 0, CR0_PG
	say "compatibility mode"
	mov $1, %eax
	.byte 0x48			/* DEC EAX here, a REX prefix in 64-bit mode */
	nop
	test %eax, %eax
	jne 5f
	mov $MSR_EFER, %ecx
	rdmsr
	and $EFER_LMA | EFER_LME, %eax
	cmp $EFER_LMA | EFER_LME, %eax
	jne 5f
	try_device DEVICE_ALIAS+0x50
5:	report 7

	ljmp $CODE_64, $long_mode
	.code64
long_mode:
	say "64-bit mode"
	mov $0x123456789, %r15
	lea (%r15,%r15), %rax
	mov $0x2468acf12, %rcx
	cmp %rcx, %rax
	jne 5f
	.byte 0x48			/* REX.W here */
	nop
	mov $0x8000000000, %rcx		/* 512 GiB: another entry of the PML4 */
	mov WORD_LOW(%rcx), %eax
	cmp %eax, WORD_LOW
	jne 5f
	mov $DEVICE_ALIAS + 0x8000000000, %rcx
	try_device 0x60, %ds, (%rcx)
5:	report 8

	/* And back: from compatibility mode only can paging be turned off. */
	ljmp *to_compatibility
	.code32
compatibility:
	set_cr0 CR0_PG, 0
	mov $MSR_EFER, %ecx
	rdmsr
	and $~EFER_LME, %eax
	wrmsr
	xor %eax, %eax
	mov %eax, %cr4
	ljmp $CODE_16, $leaving
	.code16
leaving:
	mov $DATA_16, %ax
	mov %ax, %ss
	mov %ax, %es
	mov $DATA_DEVICE, %ax		/* stays loaded: a base that no real-mode selector gives */
	mov %ax, %ds
	set_cr0 CR0_PE, 0
	ljmp $0, $real
real:
	xor %ax, %ax
	mov %ax, %ss
	mov %ax, %es
	mov $0x7c00, %sp
	try_device 0x70
	mov $0, %ax
	mov %ax, %ds
	jne 5f
	say "real mode again"
	smsw %ax
	test $CR0_PE, %ax
5:	report 9

	addl $0x10, round
	cmpl $0x20, round
	jne again
	mov $HYPERCALL_EXIT, %eax
	xor %edi, %edi
	hypercall

	.code32
/* Identity over the first MiB and the device's page, or more, plus the two aliases. */
write_tables:
	/* 4 KiB pages: two tables at TABLES + 0x1000 (low 4 MiB) and + 0x8000 (ALIAS). */
	movl $TABLES + 0x1003, TABLES
	movl $TABLES + 0x8003, TABLES + (ALIAS >> 22) * 4
	mov $3, %eax
	mov $TABLES + 0x1000, %edi
	mov $1024, %ecx
1:	mov %eax, (%edi)
	add $0x1000, %eax
	add $4, %edi
	loop 1b
	movl $(WORD_LOW & ~0xfff) + 3, TABLES + 0x8000
	movl $DEVICE + 3, TABLES + 0x8004
	/* 4 MiB pages */
	movl $0x83, LARGE_TABLES
	movl $0x83, LARGE_TABLES + (ALIAS >> 22) * 4
	movl $DEVICE + 0x83, LARGE_TABLES + (DEVICE >> 22) * 4
	/* PAE: 0 and ALIAS are in different PDPT entries. A 2 MiB page below, 4 KiB pages at ALIAS. */
	movl $PAE_TABLES + 0x1001, PAE_TABLES
	movl $PAE_TABLES + 0x2001, PAE_TABLES + 8
	movl $0x83, PAE_TABLES + 0x1000
	movl $0x200083, PAE_TABLES + 0x1008
	movl $PAE_TABLES + 0x3003, PAE_TABLES + 0x2000
	movl $(WORD_LOW & ~0xfff) + 3, PAE_TABLES + 0x3000
	movl $DEVICE + 3, PAE_TABLES + 0x3008
	/* Long: the same directories, by two entries of the PML4. */
	movl $LONG_TABLES + 0x1003, LONG_TABLES
	movl $LONG_TABLES + 0x1003, LONG_TABLES + 8
	movl $PAE_TABLES + 0x1003, LONG_TABLES + 0x1000
	movl $PAE_TABLES + 0x2003, LONG_TABLES + 0x1008
	ret

	.data
	.balign 8
gdt:	.quad 0
	.quad 0x00009b000000ffff	/* CODE_16 */
	.quad 0x000093000000ffff	/* DATA_16 */
	.quad 0x00cf9b000000ffff	/* CODE_32 */
	.quad 0x00cf93000000ffff	/* DATA_32 */
	.quad 0x00af9b000000ffff	/* CODE_64 */
	.quad 0x00009300234000ff	/* DATA_BASE: 0x2340, 256 bytes */
	.quad 0xd00093000000ffff	/* DATA_DEVICE: real mode keeps its limit */
gdt_end:
gdtr:	.word gdt_end - gdt - 1
	.long gdt
to_compatibility:
	.long compatibility
	.word CODE_32
round:	.long 0

	.section .note.GNU-stack, "", @progbits
