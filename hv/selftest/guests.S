/*
 * What the self-tests' guests execute, at 1 MiB in long mode with the stack at the top of memory:
 * position-independent, arguments and results in registers. Each is data to the hypervisor.
 */
	.section .rodata.guests, "a"

	.macro guest name
	.globl guest_\name, guest_\name\()_end
guest_\name:
	.endm
	.macro end_guest name
guest_\name\()_end:
	.endm

/* Does nothing until it is made to stop. */
guest spin
1:	pause
	jmp 1b
end_guest spin

/* Exits, again and again, and counts in RAX how often it ran on. */
guest count
	xor %eax, %eax
1:	hlt
	inc %rax
	jmp 1b
end_guest count

/* VMCALL with RAX given; RBX afterwards goes to RCX. */
guest vmcall
	movabs $0x1234567887654321, %rax
	vmcall
	mov %rbx, %rcx
	hlt
end_guest vmcall

/* All that exit by themselves, in the order of vmcall.c's table. */
guest vmx_instructions
	push $0
	push $0
	xor %eax, %eax
	vmxon (%rsp)
	vmxoff
	vmclear (%rsp)
	vmptrld (%rsp)
	vmptrst (%rsp)
	vmread %rax, %rax
	vmwrite %rax, %rax
	vmlaunch
	vmresume
	invept (%rsp), %rax
	invvpid (%rsp), %rax
	hlt
end_guest vmx_instructions

/* Reads the word at RBX into RAX, as often as it is let. */
guest read_word
1:	mov (%rbx), %rax
	hlt
	jmp 1b
end_guest read_word

/* Writes RAX to the word at RBX. */
guest write_word
1:	mov %rax, (%rbx)
	hlt
	jmp 1b
end_guest write_word

/* Calls the code at RBX. */
guest call
1:	call *%rbx
	hlt
	jmp 1b
end_guest call

/* VM function EAX with ECX, between two reads of the word at RBX: into RSI before, RDI after. */
guest vmfunc
	mov (%rbx), %rsi
	vmfunc
	mov (%rbx), %rdi
	hlt
end_guest vmfunc

/* Counts in RAX without an exit. */
guest count_up
1:	inc %rax
	jmp 1b
end_guest count_up

guest rdtsc
1:	rdtsc
	hlt
	jmp 1b
end_guest rdtsc

/* Reads MSR ECX into EDX:EAX; then writes them. */
guest msr
	rdmsr
	hlt
	wrmsr
	hlt
end_guest msr

/* DR7 from RBX, then into RAX. */
guest dr7
	mov %rbx, %dr7
	hlt
	mov %dr7, %rax
	hlt
end_guest dr7

/* Ends with exit code 42, by hypercall (guests/abi.h). */
guest exit_42
	mov $1, %eax
	mov $42, %edi
	vmcall
	ud2
end_guest exit_42

/* Likewise, with interrupts on. */
guest sti_exit_42
	sti
	nop
	mov $1, %eax
	mov $42, %edi
	vmcall
	ud2
end_guest sti_exit_42

/* Code 42 if CR3 reads as vm/loader.h says, before and after it is written; INVLPG on the way. */
guest cr3_exit_42
	mov %cr3, %rax
	mov %rax, %cr3
	mov %cr3, %rbx
	invlpg (%rsp)
	mov $1, %eax
	mov $42, %edi
	cmp $0x1000, %rbx
	je 1f
	mov %ebx, %edi
1:	vmcall
	ud2
end_guest cr3_exit_42

/* Loads CR3 with the first bit beyond physical addresses set; ends well from its #GP handler. */
	.globl guest_cr3_refused_handler
guest cr3_refused_42
	mov $0x80000008, %eax
	cpuid
	movzx %al, %ecx
	mov $1, %ebx
	shl %cl, %rbx
	mov %cr3, %rax
	or %rbx, %rax
	mov %rax, %cr3
	ud2
guest_cr3_refused_handler:
	mov $1, %eax
	mov $42, %edi
	vmcall
	ud2
end_guest cr3_refused_42

/* Sleeps until a timer of its own (hypercall 4) interrupts it with vector 0x41. */
	.globl guest_sleep_handler
guest sleep
	mov $4, %eax
	mov $20000, %edi
	mov $0x41, %esi
	vmcall
	sti
	hlt
	ud2
guest_sleep_handler:
	mov $1, %eax
	mov $42, %edi
	vmcall
	ud2
end_guest sleep

/* Every form of IN and OUT, to port DX where there is a choice. */
guest io
	in %dx, %al
	in %dx, %ax
	in %dx, %eax
	in $0x71, %al
	out %al, %dx
	out %ax, %dx
	out %eax, %dx
	out %eax, $0x70
	insb
	rep outsl
	hlt
end_guest io

/*
 * RBX counts how far it came. INT 0x42 if RCX is not 0. Each vector's stub halts, with the vector on
 * the stack under what the processor pushed, and then drops RAX bytes and returns.
 */
	.globl guest_events_after_sti, guest_events_after_int, guest_events_stubs
guest events
	test %ecx, %ecx
	jnz 1f
	inc %rbx
	hlt
	sti
	inc %rbx			/* interrupts are still held back here */
guest_events_after_sti:
	inc %rbx
	hlt
1:	int $0x42
guest_events_after_int:
	hlt
	.balign 16
guest_events_stubs:
	.set vector, 0
	.rept 256
	.balign 16
	pushq $vector
	jmp 1f
	.set vector, vector + 1
	.endr
1:	hlt
	add %rax, %rsp
	iretq
end_guest events

	.section .note.GNU-stack, "", @progbits
