/*
 * The instruction of a hypercall. It is VMCALL or VMMCALL, by processor: three bytes, of which the last
 * one differs. Each place that has one is listed in the section .hypercalls, and a guest's first code
 * writes the byte that CPUID asks for into all of them, once. For C and assembly.
 */
#pragma once

#include "guests/abi.h"

#ifdef __ASSEMBLER__

.macro hypercall 77101 : vmcall /* 0F 01 C1; VMMCALL is 0F 01 D9 */
                             .pushsection.hypercalls,
    "a".long 77101b .popsection
        .endm

        /* In every mode, where DS has all addresses below 64 KiB. Changes EAX to EDX, ESI, EDI and flags. */
        .macro choose_hypercall mov $GUEST_CPUID_HYPERCALL,
    % eax cpuid test $1, % al jz 77103f mov $hypercalls_start, % esi 77102 : cmp $hypercalls_end,
    % esi je 77103f mov(% esi), % edi movb $0xd9, 2(% edi) add $4, % esi jmp 77102b 77103 :.endm

#else

/* A line of assembly. */
#define HYPERCALL_INSTRUCTION           \
    "77101: vmcall\n"                   \
    ".pushsection .hypercalls, \"a\"\n" \
    ".long 77101b\n"                    \
    ".popsection\n"

#endif
