"""The decoder of accesses to device pages, against what this machine's processor does."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.decoders import build, run
from tests.unit.instructions import AX, BP, BX, CX, DI, NAMES, NONE, SI, SP, Address, operations


def window_addresses() -> Iterator[Address]:
    """Addresses that choosing one register well brings into `window`, or that name it."""
    for size in (8, 4):
        names = NAMES[size]
        for base in (BX, BP, 12, 13):
            yield Address(f"{names[base]}-100", base, size=size)
            yield Address(f"{names[base]}", base, size=size)
        for base, index, scale in ((AX, CX, 1), (SI, 12, 2), (13, DI, 4), (15, BP, 8), (BP, 9, 8)):
            text = f"{names[base]}+{names[index]}*{scale}+0x12345678"
            yield Address(text, base, index, scale, size=size)
        yield Address(f"{names[SI]}*4+window", NONE, SI, 4, size=size)
        yield Address(f"{names[13]}*8+window", NONE, 13, 8, size=size)
        yield Address("rip+window" if size == 8 else "eip+window", size=size, rip_relative=1)
    yield Address("window")


def samples() -> list[str]:
    """64-bit instructions to be executed; RSP is left alone."""
    found = []
    places = list(window_addresses())
    for number, operation in enumerate(operations(64)):
        if operation.decoded.reg == SP and not operation.decoded.high_byte:
            continue
        for address in (places[number % len(places)], places[number * 7 % len(places)]):
            if not (operation.decoded.high_byte and address.needs_rex):
                size = operation.decoded.operand_size
                found.append(operation.text.format(address.written(size)))
    for name in ("al", "ax", "eax", "rax"):
        found += [f"movabs {name}, [window]", f"movabs [window], {name}"]
    return found


def sample_source(texts: list[str]) -> str:
    """What decode_execute.c calls: for each instruction a function, and a row of its table."""
    kept = ["rbx", "rbp", "r12", "r13", "r14", "r15"]
    names = [(number, name) for number, name in enumerate(NAMES[8]) if number != SP]
    lines = [".intel_syntax noprefix", ".macro enter"]
    lines += [f"push {name}" for name in kept]
    lines += [f"mov {name}, [rip+registers_in+{8 * number}]" for number, name in names]
    lines += [".endm", ".macro leave_"]
    lines += [f"mov [rip+registers_out+{8 * number}], {name}" for number, name in names]
    lines += [f"pop {name}" for name in reversed(kept)]
    lines += [
        "ret",
        ".endm",
        ".globl samples",
        ".section .rodata",
        ".balign 8",
        "samples:",
        ".text",
    ]
    for text in texts:
        lines += ["1: enter", f"2: {text}", "3: leave_"]
        lines += ['.pushsection .rodata.str, "aMS", @progbits, 1', f'4: .asciz "{text}"']
        lines += [".popsection", ".pushsection .rodata", ".quad 1b, 2b, 3b, 4b", ".popsection"]
    lines += [".section .rodata", ".quad 0, 0, 0, 0", ".bss", ".balign 64"]
    for name, size in (("window", 256), ("registers_in", 128), ("registers_out", 128)):
        lines += [f".globl {name}", f"{name}: .skip {size}"]
    return "\n".join([*lines, '.section .note.GNU-stack, "", @progbits', ""])


@pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="needs an x86-64 Linux to compare with",
)
def test_this_processor_leaves_the_same_registers_and_memory_behind(tmp_path: Path) -> None:
    texts = samples()
    source = tmp_path / "samples.s"
    source.write_text(sample_source(texts))
    program = build(tmp_path, "decode_execute", source, "-no-pie")
    assert run(program) == f"executed {len(texts)}\n"
