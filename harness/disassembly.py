"""Machine code in words, by capstone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BEFORE = 5  # instructions shown before the one in question
AFTER = 5
_LONGEST = 15  # bytes of one instruction (SDM 2A 2.3.11)


@dataclass(frozen=True)
class Instruction:
    """One instruction; ``text`` is "(bad)" where the bytes are none."""

    address: int
    code: bytes
    text: str


def disassemble(code: bytes, address: int, bits: int) -> list[Instruction]:
    """All instructions of ``code``, which lies at ``address``; ``bits``: 16, 32 or 64."""
    import capstone

    mode = {16: capstone.CS_MODE_16, 32: capstone.CS_MODE_32, 64: capstone.CS_MODE_64}[bits]
    machine = capstone.Cs(capstone.CS_ARCH_X86, mode)
    machine.syntax = capstone.CS_OPT_SYNTAX_ATT  # as the sources are written
    found = []
    at = 0
    while at < len(code):
        one = next(machine.disasm(code[at : at + _LONGEST], address + at, 1), None)
        if one is None:
            found.append(Instruction(address + at, code[at : at + 1], "(bad)"))
            at += 1
        else:
            text = f"{one.mnemonic} {one.op_str}".rstrip()
            found.append(Instruction(address + at, code[at : at + one.size], text))
            at += one.size
    return found


def around(code: bytes, start: int, address: int, bits: int) -> Sequence[Instruction]:
    """The instruction at ``address`` with its neighbours.

    ``start`` is where ``code`` lies, the beginning of the function: only from a known beginning can
    instructions of different lengths be told apart. One that ``address`` would cut is left out.
    """
    before = disassemble(code[: address - start], start, bits)[-BEFORE:]
    after = disassemble(code[address - start :], address, bits)[: 1 + AFTER]
    return [*before, *after]
