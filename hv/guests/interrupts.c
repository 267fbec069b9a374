#include "guests/interrupts.h"

#include <assert.h>
#include <stddef.h>

#include "cpu/control.h"
#include "guests/runtime.h"

enum { EXCEPTIONS = 32, GATE_INTERRUPT = 0x8e, STUB_SIZE = 16 };

static_assert(sizeof(struct interrupt_gate) == 16, "SDM 3A figure 6-8");
static_assert(offsetof(struct interrupt_frame, vector) == 15 * 8, "the stubs push fifteen");

struct interrupt_gate interrupts_idt[VECTOR_COUNT];
static interrupt_handler handlers[VECTOR_COUNT];
static struct caught last;

/* While something is attempted: where the stack was. Else 0. */
uint64_t attempt_stack;

extern const char interrupt_stubs[], attempt_end[];
void attempt_run(void (*code)(uint64_t), uint64_t argument);
void interrupt_dispatch(struct interrupt_frame *frame);

/* A stub a vector. Those in the mask push an error code of their own (SDM 3A 6.13). */
asm(".pushsection .text\n"
    "	.balign 16\n"
    "interrupt_stubs:\n"
    "	.set vector, 0\n"
    "	.rept 256\n"
    "	.balign 16\n"
    "	.set has_error_code, 0\n"
    "	.if vector < 32\n"
    "	.set has_error_code, 0x227d00 >> vector & 1\n"
    "	.endif\n"
    "	.if !has_error_code\n"
    "	push $0\n"
    "	.endif\n"
    "	push $vector\n"
    "	jmp interrupt_common\n"
    "	.set vector, vector + 1\n"
    "	.endr\n"
    "interrupt_common:\n"
    "	push %rax; push %rbx; push %rcx; push %rdx; push %rbp; push %rsi; push %rdi\n"
    "	push %r8; push %r9; push %r10; push %r11; push %r12; push %r13; push %r14; push %r15\n"
    "	cld\n"
    "	mov %rsp, %rdi\n"
    "	call interrupt_dispatch\n"
    "	pop %r15; pop %r14; pop %r13; pop %r12; pop %r11; pop %r10; pop %r9; pop %r8\n"
    "	pop %rdi; pop %rsi; pop %rbp; pop %rdx; pop %rcx; pop %rbx; pop %rax\n"
    "	add $16, %rsp\n"
    "	iretq\n"
    "attempt_run:\n"
    "	push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15\n"
    "	mov %rsp, attempt_stack(%rip)\n"
    "	mov %rdi, %r11\n"
    "	mov %rsi, %rdi\n"
    "	xor %eax, %eax; xor %ecx, %ecx; xor %edx, %edx\n" /* what instructions take for valid */
    "	call *%r11\n"
    "attempt_end:\n"
    "	movq $0, attempt_stack(%rip)\n"
    "	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp\n"
    "	ret\n"
    ".popsection");

void interrupt_dispatch(struct interrupt_frame *frame) {
    if (handlers[frame->vector]) {
        handlers[frame->vector](frame);
        return;
    }
    if (!attempt_stack || frame->vector >= EXCEPTIONS) {
        print("unexpected vector ");
        print_hex(frame->vector);
        print(", error code ");
        print_hex(frame->error_code);
        print(", at ");
        print_hex(frame->rip);
        print("\n");
        report(false, 0xbad00 + frame->vector);
        guest_exit(1);
    }
    last = (struct caught){.any = true,
                           .vector = (uint8_t)frame->vector,
                           .error_code = (uint32_t)frame->error_code,
                           .rip = frame->rip,
                           .rflags = frame->rflags,
                           .cr2 = read_cr2()};
    frame->rip = (uint64_t)attempt_end;
    frame->rsp = attempt_stack;
    frame->cs = GUEST_CODE_SELECTOR; /* it may have happened in user mode */
    frame->ss = GUEST_DATA_SELECTOR;
    frame->rflags = 2;
}

struct caught attempt(void (*code)(uint64_t), uint64_t argument) {
    last = (struct caught){.any = false};
    attempt_run(code, argument);
    return last;
}

void interrupts_handle(unsigned vector, interrupt_handler handler) {
    handlers[vector] = handler;
}

void interrupts_start(void) {
    for (unsigned vector = 0; vector < VECTOR_COUNT; vector++) {
        uint64_t stub = (uint64_t)interrupt_stubs + vector * STUB_SIZE;
        interrupts_idt[vector] = (struct interrupt_gate){.offset_low = (uint16_t)stub,
                                                         .selector = GUEST_CODE_SELECTOR,
                                                         .type = GATE_INTERRUPT,
                                                         .offset_middle = (uint16_t)(stub >> 16),
                                                         .offset_high = (uint32_t)(stub >> 32)};
    }
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) idtr = {sizeof interrupts_idt - 1, (uint64_t)interrupts_idt};
    asm volatile("lidt %0" : : "m"(idtr));
}
