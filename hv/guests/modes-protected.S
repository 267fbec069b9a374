/*
 * Starts in 32-bit protected mode, without paging (mode=protected), and tries what a processor answers
 * with #GP on the way to PAE paging and to long mode. Then it changes its PDPTEs and sees that they
 * count from the next load of CR3 on, not before. Each check reports its number.
 */
#include "cpu/control.h"
#include "guests/hypercall.inc"

	.set HYPERCALL_EXIT, 1		/* guests/abi.h */
	.set HYPERCALL_REPORT, 2
	.set CODE_32, 0x08
	.set DATA_32, 0x10
	.set CODE_WITH_L, 0x18		/* L means nothing yet, and must not when long mode starts */
	.set TSS_16, 0x20
	.set TSS_32, 0x28
	.set GENERAL_PROTECTION, 13

	.set PDPT, 0x20000
	.set DIRECTORY, 0x21000		/* the first GiB: itself */
	.set DIRECTORY_2, 0x22000	/* at ALIAS: guest-physical 2 MiB */
	.set DIRECTORY_3, 0x23000	/* at ALIAS: guest-physical 0 */
	.set DIRECTORY_4, 0x25000	/* at ALIAS: the device */
	.set DEVICE, 0xd0000000		/* dev/scratch.h */
	.set PML4, 0x26000
	.set ALIAS, 0x40000000
	.set PRESENT, 1
	.set LARGE_PAGE, 0x83

/* Passed if ZF. */
.macro report number
	mov $0, %edi
	jne 1f
	mov $1, %edi
1:	mov $\number, %esi
	mov $HYPERCALL_REPORT, %eax
	hypercall
.endm

/* Passed if the instruction is #GP(0), and left where it was. */
.macro refused number, instruction:vararg
	movl $7f, resume
	movl $0, fault
	movl $-1, error_code
	mov $8f, %ebp
8:	\instruction
7:	sub fault_at, %ebp
	xorl $GENERAL_PROTECTION, fault
	or fault, %ebp
	or error_code, %ebp
	report \number
.endm

	.section .text.start, "ax"
	.code32
	.globl guest_start
guest_start:
	pushf				/* as vm/loader.h promises: flat, no paging, interrupts off */
	choose_hypercall
	pop %eax
	cmp $2, %eax
	report 1
	mov %cr0, %eax
	cmp $CR0_PE | CR0_ET, %eax
	report 2

	lgdt gdtr
	ljmp $CODE_32, $1f
1:	mov $DATA_32, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %eax, %fs
	mov %eax, %gs
	xor %ecx, %ecx
	mov $unexpected, %eax
2:	call set_gate
	inc %ecx
	cmp $32, %ecx
	jne 2b
	mov $GENERAL_PROTECTION, %ecx
	mov $protection, %eax
	call set_gate
	lidt idtr
	call write_tables

	/* Values that CR0 and CR4 do not take, in any mode. */
	mov %cr0, %eax
	or $CR0_NW, %eax
	refused 3, mov %eax, %cr0
	mov %cr0, %eax
	and $~CR0_PE, %eax
	or $CR0_PG, %eax
	refused 4, mov %eax, %cr0
	mov %cr4, %eax
	or $CR4_VMXE, %eax
	refused 5, mov %eax, %cr4
	mov %cr4, %eax
	or $1 << 31, %eax
	refused 6, mov %eax, %cr4

	/* Long mode without PAE. */
	mov $PML4, %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	xor %edx, %edx
	mov $EFER_LME, %eax
	wrmsr
	rdmsr
	cmp $EFER_LME, %eax
	report 7
	mov %cr0, %eax
	or $CR0_PG, %eax
	refused 8, mov %eax, %cr0
	mov $CR4_PAE, %eax
	mov %eax, %cr4
	/* With it, but with CS.L set already. */
	ljmp $CODE_WITH_L, $1f
1:	mov %cr0, %eax
	or $CR0_PG, %eax
	refused 9, mov %eax, %cr0
	ljmp $CODE_32, $1f
	/* With a 16-bit TSS. */
1:	mov $TSS_16, %eax
	ltr %ax
	mov %cr0, %eax
	or $CR0_PG, %eax
	refused 10, mov %eax, %cr0
	mov $TSS_32, %eax
	ltr %ax
	mov %cr0, %eax
	or $CR0_PG, %eax
	mov %eax, %cr0
	mov $MSR_EFER, %ecx
	rdmsr
	cmp $EFER_LME | EFER_LMA, %eax
	report 11
	/* control.c goes on in long mode. Back here: */
	mov %cr0, %eax
	and $~CR0_PG, %eax
	mov %eax, %cr0
	mov $MSR_EFER, %ecx
	xor %edx, %edx
	xor %eax, %eax
	wrmsr
	rdmsr
	cmp $0, %eax
	report 12

	/* PAE paging with PDPTEs that have reserved bits: refused when paging starts ... */
	mov $PDPT, %eax
	mov %eax, %cr3
	mov $1, %ebx
3:	mov bad_bits(,%ebx,8), %eax
	mov %eax, PDPT + 16
	mov bad_bits + 4(,%ebx,8), %eax
	mov %eax, PDPT + 20
	mov %cr0, %eax
	or $CR0_PG, %eax
	mov %ebx, round
	refused 13, mov %eax, %cr0
	mov round, %ebx
	inc %ebx
	cmp $BAD_BITS, %ebx
	jne 3b
	/* ... but what is not present may have any. */
	movl $0xfffffffe, PDPT + 16
	movl $0xffffffff, PDPT + 20
	mov %cr0, %eax
	or $CR0_PG, %eax
	mov %eax, %cr0
	cmpl $0x11111111, ALIAS + 0x1000
	report 14
	mov $MSR_EFER, %ecx
	xor %edx, %edx
	mov $EFER_LME, %eax
	refused 15, wrmsr

	/* Are they kept at all? Under AMD's nested paging they are read whenever the processor walks
	 * (APM 2 15.25.10), and there is no more to be seen. */
	movl $DIRECTORY_3 + PRESENT, PDPT + 8
	mov %cr4, %eax			/* an exit, too */
	invlpg ALIAS
	cmpl $0x11111111, ALIAS + 0x1000
	je 5f
	cmpl $0x22222222, ALIAS + 0x1000
	report 22
	jmp end
5:	movl $DIRECTORY_2 + PRESENT, PDPT + 8

	/* ... and when CR3 is loaded, which then keeps its value. */
	mov $1, %ebx
4:	mov bad_bits(,%ebx,8), %eax
	mov %eax, PDPT + 16
	mov bad_bits + 4(,%ebx,8), %eax
	mov %eax, PDPT + 20
	mov $PDPT, %eax
	mov %ebx, round
	refused 16, mov %eax, %cr3
	mov round, %ebx
	inc %ebx
	cmp $BAD_BITS, %ebx
	jne 4b
	movl $0, PDPT + 16
	movl $0, PDPT + 20

	/* Changed in memory, they are as they were, over exits too, until CR3 is loaded. */
	movl $DIRECTORY_3 + PRESENT, PDPT + 8
	invlpg ALIAS
	xor %eax, %eax
	cpuid
	cmpl $0x11111111, ALIAS + 0x1000
	report 17
	mov %cr3, %eax
	mov %eax, %cr3
	cmpl $0x22222222, ALIAS + 0x1000
	report 18
	/* So they are after a change of CR0 that reads them anew (SDM 3A 4.4.1), here by CR0.CD. */
	movl $DIRECTORY_2 + PRESENT, PDPT + 8
	mov %cr0, %eax
	or $CR0_CD, %eax
	mov %eax, %cr0
	and $~CR0_CD, %eax
	mov %eax, %cr0
	invlpg ALIAS
	cmpl $0x11111111, ALIAS + 0x1000
	report 19
	/* And after one of CR4.PGE. */
	movl $DIRECTORY_3 + PRESENT, PDPT + 8
	mov %cr4, %eax
	or $CR4_PGE, %eax
	mov %eax, %cr4
	cmpl $0x22222222, ALIAS + 0x1000
	report 20

	/* The hypervisor translates by the same ones: here the device is, there it is not any more. */
	movl $DIRECTORY_4 + PRESENT, PDPT + 8
	mov %cr3, %eax
	mov %eax, %cr3
	movl $0, PDPT + 8
	movl $0x33333333, ALIAS + 0x10
	mov ALIAS + 0x10, %eax
	cmp $0x33333333, %eax
	report 21
end:
	mov $HYPERCALL_EXIT, %eax
	xor %edi, %edi
	hypercall

/* Vector ECX goes to EAX. */
set_gate:
	mov %ax, idt(,%ecx,8)
	movw $CODE_32, idt + 2(,%ecx,8)
	movw $0x8e00, idt + 4(,%ecx,8)
	push %eax
	shr $16, %eax
	mov %ax, idt + 6(,%ecx,8)
	pop %eax
	ret

protection:
	movl $GENERAL_PROTECTION, fault
	pop error_code
	push (%esp)
	pop fault_at
	push resume
	pop (%esp)
	movl $CODE_32, 4(%esp)
	iret

unexpected:
	mov $HYPERCALL_REPORT, %eax
	xor %edi, %edi
	mov $0xbad, %esi
	hypercall
	mov $HYPERCALL_EXIT, %eax
	mov $1, %edi
	hypercall

write_tables:
	movl $0x11111111, 0x201000	/* guest-physical 2 MiB and 0 show which is which */
	movl $0x22222222, 0x1000
	movl $DIRECTORY + PRESENT, PDPT
	movl $DIRECTORY_2 + PRESENT, PDPT + 8
	movl $LARGE_PAGE, DIRECTORY
	movl $0x200000 + LARGE_PAGE, DIRECTORY + 8
	movl $0x200000 + LARGE_PAGE, DIRECTORY_2
	movl $LARGE_PAGE, DIRECTORY_3
	movl $DEVICE + LARGE_PAGE, DIRECTORY_4
	/* In long mode the first entry is a PDPT that has only an identity. */
	movl $PML4 + 0x1003, PML4
	movl $DIRECTORY + 3, PML4 + 0x1000
	ret

	.data
	.balign 8
gdt:	.quad 0
	.quad 0x00cf9b000000ffff	/* CODE_32 */
	.quad 0x00cf93000000ffff	/* DATA_32 */
	.quad 0x00ef9b000000ffff	/* CODE_WITH_L */
	.quad 0x000081050000002b	/* TSS_16: available, at 0x50000 */
	.quad 0x0000890500000067	/* TSS_32 */
gdt_end:
gdtr:	.word gdt_end - gdt - 1
	.long gdt
idtr:	.word 32 * 8 - 1
	.long idt

	/* SDM 3A 4.4.1, table 4-8: present with a reserved bit. The first entry is not used. */
	.balign 8
bad_bits:
	.quad 0
	.quad 1 << 1 | PRESENT
	.quad 1 << 2 | PRESENT
	.quad 1 << 5 | PRESENT
	.quad 1 << 7 | PRESENT
	.quad 1 << 8 | PRESENT
	.quad 1 << 45 | PRESENT		/* above the physical addresses of all that runs this */
	.quad 1 << 51 | PRESENT
	.quad 1 << 52 | PRESENT
	.quad 1 << 63 | PRESENT
	.set BAD_BITS, (. - bad_bits) / 8

	.bss
	.balign 8
idt:	.skip 32 * 8
resume:	.skip 4
fault:	.skip 4
fault_at: .skip 4
error_code: .skip 4
round:	.skip 4

	.section .note.GNU-stack, "", @progbits
