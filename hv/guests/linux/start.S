/* Where Linux starts a program: argc, argv and the environment are on the stack (System V ABI,
 * AMD64 supplement, 3.4.1). */
.global _start
_start:
    xor %ebp, %ebp
    mov %rsp, %rdi
    and $-16, %rsp
    call start
    ud2

.section .note.GNU-stack, "", @progbits
