/*
 * Every form of MOV on a device page, in 64-, 32- and 16-bit code, twice: on a page of RAM, where the
 * processor does it, and on the device, where the hypervisor does. All registers, the flags and the
 * bytes must come out the same.
 */
#include "cpu/msr.h"
#include "guests/checks.h"
#include "guests/interrupts.h"

/* The linear page that is RAM or the device; assembly below and the GDT know the number too. */
enum { WINDOW = 0x40000000, DEVICE = (int)0xd0000000, BYTES = 256, DIRECTORIES = 0x3000 };
enum { PAGE_WRITABLE = 3, LARGE = 2 << 20 };

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R12 = 12, R13, REGISTERS = 16, FLAGS = 16 };

/* CODE_32, CODE_16, and data segments that begin at 0 and at WINDOW. CODE_16 begins at the image. */
static const uint64_t gdt[] = {0,
                               0,
                               0x00af9b000000ffff,
                               0x00cf93000000ffff,
                               0x00cf9b000000ffff,
                               0x00009b100000ffff,
                               0x40cf93000000ffff};
enum { CODE_64 = 0x10, DATA_0 = 0x18, CODE_32 = 0x20, CODE_16 = 0x28, DATA_WINDOW = 0x30 };
enum { CODE_16_BASE = 0x100000 };

enum setting { LONG_MODE, FLAT_32, WINDOW_32, WINDOW_16 };

struct form {
    const char *text;
    uint64_t code, setting;
};

/* Used by the assembly: where to jump, registers to load and where to store them, the stack to keep. */
struct {
    uint32_t offset;
    uint16_t selector;
} __attribute__((packed)) form_target;
uint64_t form_registers[REGISTERS + 1], form_stack;

void form_run(void);
extern const struct form forms[], forms_end[];

asm(".pushsection .text\n"
    "form_run:\n"
    "	push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15\n"
    "	mov %rsp, form_stack\n"
    "	push form_registers+16*8\n"
    "	popfq\n"
    "	mov form_registers, %rax\n"
    "	mov form_registers+1*8, %rcx\n"
    "	mov form_registers+2*8, %rdx\n"
    "	mov form_registers+3*8, %rbx\n"
    "	mov form_registers+4*8, %rsp\n"
    "	mov form_registers+5*8, %rbp\n"
    "	mov form_registers+6*8, %rsi\n"
    "	mov form_registers+7*8, %rdi\n"
    "	mov form_registers+8*8, %r8\n"
    "	mov form_registers+9*8, %r9\n"
    "	mov form_registers+10*8, %r10\n"
    "	mov form_registers+11*8, %r11\n"
    "	mov form_registers+12*8, %r12\n"
    "	mov form_registers+13*8, %r13\n"
    "	mov form_registers+14*8, %r14\n"
    "	mov form_registers+15*8, %r15\n"
    "	ljmp *form_target\n"
    "form_back:\n"
    "	mov %rax, form_registers\n"
    "	mov %rcx, form_registers+1*8\n"
    "	mov %rdx, form_registers+2*8\n"
    "	mov %rbx, form_registers+3*8\n"
    "	mov %rsp, form_registers+4*8\n"
    "	mov %rbp, form_registers+5*8\n"
    "	mov %rsi, form_registers+6*8\n"
    "	mov %rdi, form_registers+7*8\n"
    "	mov %r8, form_registers+8*8\n"
    "	mov %r9, form_registers+9*8\n"
    "	mov %r10, form_registers+10*8\n"
    "	mov %r11, form_registers+11*8\n"
    "	mov %r12, form_registers+12*8\n"
    "	mov %r13, form_registers+13*8\n"
    "	mov %r14, form_registers+14*8\n"
    "	mov %r15, form_registers+15*8\n"
    "	mov form_stack, %rsp\n"
    "	pushfq\n"
    "	pop form_registers+16*8\n"
    "	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp\n"
    "	ret\n"
    ".set window, 0x40000000\n"
    ".set setting, 0\n"
    ".macro form instruction:vararg\n"
    "771:	\\instruction\n"
    "	.if setting == 0\n"
    "	jmp form_back\n"
    "	.else\n"
    "	ljmpl $0x10, $form_back\n"
    "	.endif\n"
    "	.pushsection .rodata.forms, \"a\"\n"
    "	.quad 772f, 771b, setting\n"
    "	.popsection\n"
    "	.pushsection .rodata\n"
    "772:	.asciz \"\\instruction\"\n"
    "	.popsection\n"
    ".endm\n"
    /* RIP-relative, to a number and not a symbol: so the relocation is written out. */
    ".macro rip number, behind, opcode:vararg\n"
    "	.byte \\opcode\n"
    "	.reloc ., R_X86_64_PC32, window+\\number-4-\\behind\n"
    "	.long 0\n"
    ".endm\n"
    ".macro rip_long number\n"
    "	rip \\number, 4, 0xc7, 0x05\n"
    "	.long 0x11223344\n"
    ".endm\n"
    ".macro rip_byte number\n"
    "	rip \\number, 1, 0xc6, 0x05\n"
    "	.byte 0x55\n"
    ".endm\n"
    ".pushsection .rodata.forms, \"a\"; .balign 8; .globl forms; forms:; .popsection\n"
    /* Writes: each size, each kind of register. */
    "form mov %al, (%rbx)\n"
    "form mov %ah, (%rbx)\n"
    "form mov %ch, (%rbx)\n"
    "form mov %dh, (%rbx)\n"
    "form mov %bh, (%rbx)\n"
    "form mov %sil, (%rbx)\n"
    "form mov %spl, (%rbx)\n"
    "form mov %r9b, (%rbx)\n"
    "form mov %dx, (%rbx)\n"
    "form mov %r10w, (%rbx)\n"
    "form mov %edi, (%rbx)\n"
    "form mov %r11d, (%rbx)\n"
    "form mov %rdx, (%rbx)\n"
    "form mov %r15, (%rbx)\n"
    "form mov %rsp, (%rbx)\n"
    "form movb $0x85, (%rbx)\n"
    "form movw $0x8586, (%rbx)\n"
    "form movl $0x85868788, (%rbx)\n"
    "form movq $-0x7654321, (%rbx)\n"
    /* Reads, zero- and sign-extended. */
    "form mov (%rbx), %al\n"
    "form mov (%rbx), %ah\n"
    "form mov (%rbx), %bh\n"
    "form mov (%rbx), %dil\n"
    "form mov (%rbx), %r8b\n"
    "form mov (%rbx), %ax\n"
    "form mov (%rbx), %r14w\n"
    "form mov (%rbx), %eax\n"
    "form mov (%rbx), %r13d\n"
    "form mov (%rbx), %rbx\n"
    "form mov (%rbx), %rsp\n"
    "form mov (%rbx), %r12\n"
    "form movzbw (%rbx), %ax\n"
    "form movzbl (%rbx), %ecx\n"
    "form movzbq (%rbx), %r9\n"
    "form movzwl (%rbx), %edx\n"
    "form movzwq (%rbx), %rsi\n"
    "form movsbw (%rbx), %bp\n"
    "form movsbl (%rbx), %r8d\n"
    "form movsbq (%rbx), %rdi\n"
    "form movswl (%rbx), %eax\n"
    "form movswq (%rbx), %r10\n"
    "form movslq (%rbx), %r11\n"
    "form movslq (%rbx), %rax\n"
    /* Addresses. */
    "form mov %eax, 0x7f(%rbx)\n"
    "form mov -0x40(%rbx), %eax\n"
    "form mov %ax, 0x81(%rbx,%rcx,4)\n"
    "form mov (%rbx,%rcx,8), %rdx\n"
    "form mov %rax, (%rsp)\n"
    "form mov 8(%rsp), %eax\n"
    "form movw $0x1234, 0x20(%rsp,%rcx,2)\n"
    "form mov %cl, (%rbp)\n"
    "form mov 3(%rbp,%rcx), %dx\n"
    "form mov %r8d, (%r12)\n"
    "form mov (%r12,%rcx), %r8\n"
    "form mov %r9, (%r13)\n"
    "form mov -5(%r13,%rcx,2), %al\n"
    "form mov %edx, window+0x33(,%rcx,8)\n"
    "form mov window+0x34, %edx\n"
    "form rip 0x18, 0, 0x48, 0x89, 0x15\n"
    "form rip 0x19, 0, 0x0f, 0xb7, 0x0d\n"
    "form rip_long 0x1a\n"
    "form rip_byte 0x1b\n"
    "form mov %edx, (%ebx)\n"
    "form mov 0x11(%ebx,%ecx,4), %rdx\n"
    "form mov %rdx, %fs:0x21(%rcx)\n"
    "form mov %gs:0x22, %dx\n"
    "form ds mov %edx, (%rbx)\n"
    "form .byte 0x66, 0x48, 0x89, 0x13\n" /* REX.W wins over the operand-size prefix */
    "form .byte 0x48, 0x66, 0x89, 0x13\n" /* REX counts only before the opcode */
    "form movabs %al, window+0x41\n"
    "form movabs %ax, window+0x42\n"
    "form movabs %eax, window+0x43\n"
    "form movabs %rax, window+0x44\n"
    "form movabs window+0x45, %al\n"
    "form movabs window+0x46, %ax\n"
    "form movabs window+0x47, %eax\n"
    "form movabs window+0x48, %rax\n"
    "form .byte 0x67, 0xa1, 0x49, 0x00, 0x00, 0x40\n"
    ".code32\n"
    ".set setting, 1\n"
    "form mov %al, (%ebx)\n"
    "form mov %dh, (%ebx)\n"
    "form mov %cx, (%ebx)\n"
    "form mov %edi, (%ebx)\n"
    "form mov %esp, (%ebx)\n"
    "form movb $0x95, 1(%ebx)\n"
    "form movw $0x9596, 0x84(%ebx)\n"
    "form movl $0x95969798, (%ebx,%ecx,2)\n"
    "form mov (%ebx), %ah\n"
    "form mov (%ebx), %si\n"
    "form mov (%ebx), %esp\n"
    "form movzbw (%ebx), %cx\n"
    "form movzbl (%ebx), %edx\n"
    "form movzwl (%ebx), %ebp\n"
    "form movsbw (%ebx), %dx\n"
    "form movsbl (%ebx), %eax\n"
    "form movswl (%ebx), %ebx\n"
    "form mov %eax, (%esp)\n"
    "form mov 4(%esp,%ecx,8), %eax\n"
    "form mov %eax, 8(%ebp)\n"
    "form mov %eax, window+0x51\n"
    "form mov %edx, window+0x52(,%ecx,4)\n"
    "form mov window+0x53, %al\n"
    "form mov window+0x54, %ax\n"
    "form mov %es:(%ebx), %edx\n"
    "form mov %fs:0x11(%ecx), %edx\n"
    ".set setting, 2\n"
    "form mov %eax, (%ebx)\n"
    "form mov %eax, (%bx,%si)\n"
    "form mov 0x10(%bp,%di), %cx\n"
    "form mov %edx, 0x30\n"
    "form .byte 0x67, 0xa1, 0x31, 0x00\n"
    "form movw $0x3132, %es:(%si)\n"
    "form mov (%esp), %edx\n"
    ".code16\n"
    ".set setting, 3\n"
    "form mov %al, (%bx,%si)\n"
    "form mov %bh, (%bx,%di)\n"
    "form mov %dx, (%bp,%si)\n"
    "form mov %ecx, (%bp,%di)\n"
    "form mov %dx, (%si)\n"
    "form mov %edx, 1(%di)\n"
    "form mov %edx, (%bp)\n"
    "form mov %edx, -4(%bx)\n"
    "form mov %edx, 0x60\n"
    "form mov (%bx,%si), %al\n"
    "form mov (%bx,%si), %ch\n"
    "form mov (%bx,%si), %sp\n"
    "form mov 0x55(%bx,%si), %esp\n"
    "form mov 0x81(%bx), %eax\n"
    "form movb $0xa5, (%si)\n"
    "form movw $0xa5a6, (%si)\n"
    "form movl $0xa5a6a7a8, (%di)\n"
    "form movzbw (%di), %ax\n"
    "form movzbl (%di), %eax\n"
    "form movzwl (%di), %eax\n"
    "form movsbw (%di), %ax\n"
    "form movsbl (%di), %ebx\n"
    "form movswl (%di), %ecx\n"
    "form mov %al, 0x61\n"
    "form mov %ax, 0x62\n"
    "form mov %eax, 0x63\n"
    "form mov 0x64, %al\n"
    "form mov 0x65, %ax\n"
    "form mov 0x66, %eax\n"
    "form mov %ax, (%ebx,%ecx,4)\n"
    "form mov 4(%esp), %eax\n"
    "form movw $0x1234, %es:4(%ebp)\n"
    "form mov %fs:(%si), %ax\n"
    ".code64\n"
    ".pushsection .rodata.forms, \"a\"; .globl forms_end; forms_end:; .popsection\n"
    ".popsection");

static uint64_t page_table[512] __attribute__((aligned(4096)));
static uint8_t ram[4096] __attribute__((aligned(4096)));

static void map_window(uint64_t physical) {
    page_table[0] = physical | PAGE_WRITABLE;
    asm volatile("invlpg (%0)" : : "r"((uint64_t)WINDOW) : "memory");
}

static void load_segments(uint16_t selector) {
    asm volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%ss; mov %0, %%fs; mov %0, %%gs"
                 :
                 : "r"((uint32_t)selector)
                 : "memory");
}

struct outcome {
    uint64_t registers[REGISTERS + 1];
    uint64_t words[BYTES / 8];
};

static void prepare_registers(enum setting setting) {
    uint64_t base = setting == LONG_MODE || setting == FLAT_32 ? WINDOW : 0;
    for (unsigned i = 0; i < REGISTERS; i++) {
        form_registers[i] = 0x0123456789abcdeful ^ i * 0x8765432112345678ul;
        if (setting != LONG_MODE) {
            form_registers[i] = (uint32_t)form_registers[i]; /* upper halves are lost */
        }
    }
    form_registers[RCX] = 4;
    form_registers[RBX] = base + 0x40;
    form_registers[RSP] = base + 0x80;
    form_registers[RBP] = base + 0x60;
    form_registers[R12] = base + 0x20;
    form_registers[R13] = base + 0x28;
    if (setting == WINDOW_32 || setting == WINDOW_16) {
        form_registers[RSI] = 5;
        form_registers[RDI] = 9;
    }
    form_registers[FLAGS] = 0x8d7 & ~0x2au; /* all arithmetic flags, interrupts off */
}

/* The form on what the window shows, from the same start each time. */
static void carry_out(const struct form *form, struct outcome *outcome) {
    volatile uint64_t *window = (volatile uint64_t *)WINDOW;
    enum setting setting = (enum setting)form->setting;
    for (unsigned i = 0; i < BYTES / 8; i++) {
        window[i] = 0x7be1459af02763c8ul + i * 0x3509c1f7a36b52d5ul;
    }
    prepare_registers(setting);
    form_target.selector = setting == LONG_MODE   ? CODE_64
                           : setting == WINDOW_16 ? CODE_16
                                                  : CODE_32;
    form_target.offset = (uint32_t)form->code - (setting == WINDOW_16 ? CODE_16_BASE : 0);
    load_segments(setting == WINDOW_32 || setting == WINDOW_16 ? DATA_WINDOW : DATA_0);
    if (setting == LONG_MODE || setting == FLAT_32) {
        wrmsr(IA32_FS_BASE, WINDOW + 7);
        wrmsr(IA32_GS_BASE, WINDOW + 9);
    }
    form_run();
    load_segments(DATA_0);
    for (unsigned i = 0; i <= REGISTERS; i++) {
        outcome->registers[i] =
            setting == LONG_MODE ? form_registers[i] : (uint32_t)form_registers[i];
    }
    for (unsigned i = 0; i < BYTES / 8; i++) {
        outcome->words[i] = window[i];
    }
}

static bool same(const struct outcome *a, const struct outcome *b) {
    const uint64_t *x = (const uint64_t *)a, *y = (const uint64_t *)b;
    for (unsigned i = 0; i < sizeof *a / sizeof *x; i++) {
        if (x[i] != y[i]) {
            return false;
        }
    }
    return true;
}

/* REX.W before 66: by SDM 2A 2.2.1 it does not count, and 16 bits are written. QEMU's TCG writes 64. */
static bool has_early_rex(const struct form *form) {
    const uint8_t *code = (const uint8_t *)form->code;
    return code[0] == 0x48 && code[1] == 0x66;
}

static bool took_rex(const struct outcome *outcome) {
    enum { TARGET = 0x40 / 8 }; /* prepare_registers' RBX */
    return outcome->words[TARGET] == form_registers[RDX];
}

int guest_main(void) {
    static struct outcome by_processor, by_hypervisor;
    const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) gdtr = {sizeof gdt - 1, (uint64_t)gdt};
    interrupts_start();
    asm volatile("lgdt %0" : : "m"(gdtr));
    ((uint64_t *)DIRECTORIES)[WINDOW / LARGE] = (uint64_t)page_table | PAGE_WRITABLE;
    for (const struct form *form = forms; form < forms_end; form++) {
        map_window((uint64_t)ram);
        carry_out(form, &by_processor);
        if (has_early_rex(form) && took_rex(&by_processor)) {
            print("left out, since this processor takes a REX before other prefixes: ");
            print(form->text);
            print("\n");
            continue;
        }
        map_window((uint32_t)DEVICE);
        carry_out(form, &by_hypervisor);
        if (!same(&by_processor, &by_hypervisor)) {
            check(form->text, false);
        }
        checks_made++;
    }
    check("each form does on a device what it does on memory", checks_failed == 0);
    return checks_done();
}
