/*
 * Acts that need 32-bit mode (mode=protected): flat segments, paging off, the parameter's first letter
 * says which.
 *
 *     a    #AC for ever: a handler in ring 3 whose stack is not aligned (CVE-2015-5307)
 *     t    a task switch, by a far jump to a TSS
 *     g    a task switch, by a task gate in the IDT
 *     p    PAE paging with the table of its four entries outside of memory
 *     r    PAE paging with reserved bits in one of them: #GP, and nobody to handle it
 *     v    virtual-8086 mode, from which the hypervisor is called
 */
#include "guests/hypercall.inc"

	.code32
	.text
	.globl guest_start
guest_start:
	jmp start

	.balign 8
	.ascii "<param>"
	.byte 0
parameter:
	.asciz "a"
	.fill 22

	.set CODE_0, 0x10		/* the loader's */
	.set DATA_0, 0x18
	.set CODE_3, 0x23
	.set DATA_3, 0x2b
	.set TSS_NOW, 0x30
	.set TSS_NEXT, 0x38

	.balign 8
gdt:	.quad 0, 0
	.quad 0x00cf9b000000ffff
	.quad 0x00cf93000000ffff
	.quad 0x00cffb000000ffff
	.quad 0x00cff3000000ffff
	.quad 0x0000890000000067	/* their bases are filled in */
	.quad 0x0000890000000067
gdtr:	.word . - gdt - 1
	.long gdt
idt:	.fill 32, 8, 0
idtr:	.word . - idt - 1
	.long idt

	.balign 16
tss_now:
	.fill 26, 4, 0
tss_next:
	.fill 26, 4, 0

start:
	choose_hypercall
	lgdt gdtr
	lidt idtr
	mov $tss_now, %eax
	mov %ax, gdt + TSS_NOW + 2
	shr $16, %eax
	mov %al, gdt + TSS_NOW + 4
	mov $tss_next, %eax
	mov %ax, gdt + TSS_NEXT + 2
	shr $16, %eax
	mov %al, gdt + TSS_NEXT + 4
	mov $TSS_NOW, %ax
	ltr %ax
	movl $0x180000, tss_now + 4	/* ESP0, SS0 */
	movl $DATA_0, tss_now + 8
	movb parameter, %al
	cmp $'a', %al
	je alignment
	cmp $'t', %al
	je task_jump
	cmp $'g', %al
	je task_gate
	cmp $'p', %al
	je pae_outside
	cmp $'r', %al
	je pae_reserved
	cmp $'v', %al
	je virtual_8086
	ud2

/* To ring 3, where EFLAGS.AC and CR0.AM count. #AC's gate leads to ring 3 code: no other stack. */
alignment:
	mov $alignment_handler, %eax
	mov %ax, idt + 17 * 8
	movw $CODE_3, idt + 17 * 8 + 2
	movw $0xee00, idt + 17 * 8 + 4
	shr $16, %eax
	mov %ax, idt + 17 * 8 + 6
	mov %cr0, %eax
	or $1 << 18, %eax
	mov %eax, %cr0
	push $DATA_3
	push $0x170001
	push $0x40002
	push $CODE_3
	push $alignment_3
	iret
alignment_3:
	push %eax
	jmp alignment_3
alignment_handler:
	jmp alignment_handler

task_jump:
	ljmp $TSS_NEXT, $0

task_gate:
	movw $TSS_NEXT, idt + 6 * 8 + 2
	movw $0x8500, idt + 6 * 8 + 4
	ud2

pae_outside:
	mov $0x40000000, %eax
	jmp pae
pae_reserved:
	movl $0x1ff, 0x170000
	mov $0x170000, %eax
pae:
	mov %eax, %cr3
	mov %cr4, %eax
	or $1 << 5, %eax
	mov %eax, %cr4
	mov %cr0, %eax
	or $1 << 31, %eax
	mov %eax, %cr0
	hlt

/* #GP comes back from there by HLT, which is for ring 0. */
virtual_8086:
	mov $returned, %eax
	mov %ax, idt + 13 * 8
	movw $CODE_0, idt + 13 * 8 + 2
	movw $0x8e00, idt + 13 * 8 + 4
	shr $16, %eax
	mov %ax, idt + 13 * 8 + 6
	mov call_and_halt, %eax
	mov %eax, 0x7c00
	xor %eax, %eax
	push %eax			/* GS, FS, DS, ES */
	push %eax
	push %eax
	push %eax
	push %eax			/* SS */
	push $0x7000
	push $0x20002			/* VM */
	push %eax			/* CS */
	push $0x7c00
	mov $1, %eax			/* EXIT */
	xor %edi, %edi
	iret
call_and_halt:
	hypercall
	hlt
returned:
	mov %eax, %esi			/* what VMCALL gave there */
	xor %edi, %edi
	cmp $-3, %esi			/* not permitted */
	sete %al
	movzbl %al, %edi
	mov $2, %eax			/* REPORT */
	hypercall
	mov $1, %eax
	xor %edi, %edi
	hypercall
	ud2

	.section .note.GNU-stack, "", @progbits
