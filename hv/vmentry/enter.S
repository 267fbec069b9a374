/*
 * uint64_t enter_vmcs(void): VMLAUNCH of the current VMCS. 0 after a VM exit, else RFLAGS after the
 * instruction that failed.
 *
 * A mutation of the host state may have been a valid one: the exit then leaves its selectors and
 * descriptor tables in the processor. All are put back here, before anything could need them.
 */
	.set HOST_RSP, 0x6c14
	.set SELECTOR_CODE, 0x08
	.set SELECTOR_DATA, 0x10
	.set SELECTOR_TSS, 0x18
	.set TSS_BUSY, 0x02			/* bit 41 of the descriptor, SDM 3A figure 7-4 */

	.text
	.globl enter_vmcs
enter_vmcs:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	sgdt saved_gdtr(%rip)
	sidt saved_idtr(%rip)
	mov $HOST_RSP, %eax
	vmwrite %rsp, %rax
	jbe failed
	vmlaunch
failed:
	pushf
	pop %rax
	jmp back

	.globl vm_exit_point
vm_exit_point:
	lgdt saved_gdtr(%rip)
	lidt saved_idtr(%rip)
	mov $SELECTOR_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	push $SELECTOR_CODE
	lea 1f(%rip), %rax
	push %rax
	lretq
1:	mov saved_gdtr+2(%rip), %rax
	andb $~TSS_BUSY, SELECTOR_TSS+5(%rax)	/* LTR wants it available */
	mov $SELECTOR_TSS, %eax
	ltr %ax
	xor %eax, %eax
back:
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret

	.bss
saved_gdtr:
	.skip 10
saved_idtr:
	.skip 10

	.section .note.GNU-stack, "", @progbits
