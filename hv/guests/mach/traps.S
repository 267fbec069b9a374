/* GNU Mach's traps that our task makes, called as C functions; numbers: kern/syscall_sw.c of GNU
 * Mach. The call gate takes the arguments from the caller's stack, above the return address. */
.macro trap name, number
.global \name
\name:
    mov $-\number, %eax
    lcall $7, $0
    ret
.endm

    trap mach_msg_trap, 25
    trap mach_reply_port, 26
    trap mach_print, 30

/* Mach starts a task as UNIX systems start a program: argc and argv are on the stack. */
.global _start
_start:
    xor %ebp, %ebp
    push %esp
    call task
    ud2

.section .note.GNU-stack, "", @progbits
