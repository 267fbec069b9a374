/*
 * The instruction of a hypercall. It is VMCALL or VMMCALL, by processor: three bytes, of which the last
 * one differs. Each place that has one is listed in the section .hypercalls, and a guest's first code
 * writes the byte that CPUID asks for into all of them, once.
 */
#pragma once

#include "guests/abi.h"

/* A line of assembly. */
#define HYPERCALL_INSTRUCTION           \
    "77101: vmcall\n"                   \
    ".pushsection .hypercalls, \"a\"\n" \
    ".long 77101b\n"                    \
    ".popsection\n"
