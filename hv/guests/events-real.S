/*
 * Events in real mode, by its vector table: no error codes, frames of three words. Started with
 * mode=real. Each check reports its number.
 */
#include "guests/hypercall.inc"

	.set HYPERCALL_EXIT, 1		/* guests/abi.h */
	.set HYPERCALL_REPORT, 2
	.set HYPERCALL_TIMER, 4
	.set HYPERCALL_INTERRUPT, 5
	.set HYPERCALL_NMI, 6
	.set VECTOR, 0x40
	.set FLAG_TF, 0x100
	.set FLAG_IF, 0x200

.macro report number
	mov $0, %edi
	jne 1f
	mov $1, %edi
1:	mov $\number, %esi
	mov $HYPERCALL_REPORT, %eax
	hypercall
.endm

/* Passed if the vector came once, at the address, and nothing else is left on the stack. */
.macro came number, vector, at
	mov count, %ax
	xor $1, %ax
	mov vector, %bx
	xor $\vector, %bx
	or %bx, %ax
	mov came_at, %bx
	xor $\at, %bx
	or %bx, %ax
	mov %sp, %bx
	xor $0x7c00, %bx
	or %bx, %ax
	movw $0, count
	movw $0, resume
	test %ax, %ax
	report \number
.endm

.macro call_hypervisor number, first=0, second=0
	mov $\number, %eax
	mov $\first, %edi
	mov $\second, %esi
	hypercall
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
	movw $on_1, 1 * 4
	movw $on_2, 2 * 4
	movw $on_3, 3 * 4
	movw $on_6, 6 * 4
	movw $on_13, 13 * 4
	movw $on_64, VECTOR * 4

	movw $after_undefined, resume
undefined:
	vmxoff
after_undefined:
	came 1, 6, undefined

	movw $after_protected, resume
	mov $0x12345678, %ecx
protected:
	wrmsr
after_protected:
	came 2, 13, protected

	int $VECTOR
after_int:
	came 3, VECTOR, after_int
	int3
after_int3:
	came 4, 3, after_int3

	call_hypervisor HYPERCALL_INTERRUPT, VECTOR
	nop
	sti
	nop
after_sti:
	cli
	came 5, VECTOR, after_sti

	call_hypervisor HYPERCALL_NMI
after_nmi:
	came 6, 2, after_nmi

	call_hypervisor HYPERCALL_TIMER, 8000, VECTOR
	sti
	hlt
after_hlt:
	cli
	came 7, VECTOR, after_hlt

	xor %eax, %eax
	pushf
	pushf
	pop %bx
	or $FLAG_TF, %bx
	push %bx
	popf
	cpuid
after_cpuid:
	popf
	mov came_at_first, %bx
	cmp $after_cpuid, %bx
	report 8

	call_hypervisor HYPERCALL_EXIT

.macro handler vector
on_\vector:
	movw $\vector, vector
	jmp common
.endm
	handler 1
	handler 2
	handler 3
	handler 6
	handler 13
	handler 64
common:
	push %bp
	mov %sp, %bp
	push %ax
	mov 2(%bp), %ax
	mov %ax, came_at
	cmpw $0, count
	jne 1f
	mov %ax, came_at_first
1:	incw count
	mov resume, %ax
	test %ax, %ax
	je 2f
	mov %ax, 2(%bp)
2:	pop %ax
	pop %bp
	iret

	.bss
count:	.skip 2
vector:	.skip 2
came_at: .skip 2
came_at_first: .skip 2
resume:	.skip 2

	.section .note.GNU-stack, "", @progbits
