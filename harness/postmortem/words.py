"""Numbers out of hostile records, and registers, memory and code as lines of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_GENERAL = (
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15", "rip", "rflags", "cr0", "cr2", "cr3", "cr4", "efer", "cs",
)  # fmt: skip


def number(value: object) -> int | None:
    """A number out of a record: hexadecimal text or an integer of 64 bits; else None."""
    try:
        found = int(value, 16) if isinstance(value, str) else value
    except ValueError:
        return None
    return found if isinstance(found, int) and 0 <= found < 1 << 64 else None


def numbers(value: object, most: int) -> list[int]:
    """The numbers of a record's list, up to the first that is none."""
    found: list[int] = []
    for one in value[:most] if isinstance(value, list) else ():
        parsed = number(one)
        if parsed is None:
            break
        found.append(parsed)
    return found


def registers_in(record: Mapping[str, Any]) -> dict[str, int]:
    """The registers that a record carries."""
    raw = record.get("registers")
    pairs = raw.items() if isinstance(raw, Mapping) else ()
    found = {str(name): number(value) for name, value in list(pairs)[:64]}
    return {name: value for name, value in found.items() if value is not None}


def register_lines(registers: Mapping[str, int]) -> list[str]:
    """Registers for people, four a line."""
    words = [f"{name:>6} {registers[name]:016x}" for name in _GENERAL if name in registers]
    return ["  ".join(words[at : at + 4]) for at in range(0, len(words), 4)]


def code_lines(code: bytes, start: int, rip: int, bits: int) -> list[str]:
    """Disassembly for people, with an arrow at ``rip``."""
    if len(code) <= rip - start:
        return [f"there is no memory at {rip:#x} that could be read"]
    try:
        from harness.disassembly import around

        shown = around(code, start, rip, bits)
    except ImportError as error:
        return [f"can't be disassembled: {error}"]
    return [
        f"{'=>' if one.address == rip else '  '} {one.address:x}  {one.code.hex():<20}  {one.text}"
        for one in shown
    ]


def word_lines(
    words: Sequence[int], address: int, size: int, symbolize: Callable[[int], str | None]
) -> list[str]:
    """Words of memory for people, each with the symbol that it may point into."""
    if not words:
        return [f"there is no memory at {address:#x} that could be read"]
    named = ((index, word, symbolize(word)) for index, word in enumerate(words))
    return [
        f"{address + index * size:x}  {word:0{size * 2}x}" + (f"  {name}" if name else "")
        for index, word, name in named
    ]


def mode_of(registers: Mapping[str, int], word: object = None) -> tuple[str, int]:
    """A guest's mode in words, and how many bits its code has (SDM 3A 2.2, 5.1.1)."""
    pe, vm, lma, pae = 1, 1 << 17, 1 << 10, 1 << 5
    cr0, efer, cr4 = (registers.get(name, 0) for name in ("cr0", "efer", "cr4"))
    bits = {2: 16, 4: 32, 8: 64}.get(word if isinstance(word, int) else 0)
    if not cr0 & pe:
        return "real mode", bits or 16
    if registers.get("rflags", 0) & vm:
        return "virtual-8086 mode", 16
    if efer & lma:
        inner = "64-bit mode" if (bits or 64) == 64 else f"compatibility mode, {bits}-bit code"
        return f"long mode, {inner}", bits or 64
    paging = "no paging" if not cr0 >> 31 else "PAE paging" if cr4 & pae else "32-bit paging"
    return f"protected mode, {bits or 32}-bit code, {paging}", bits or 32
