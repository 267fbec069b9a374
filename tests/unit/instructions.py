"""Instructions that move data to and from memory: their text, and what they decode to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

NONE = 0xFF
AX, CX, DX, BX, SP, BP, SI, DI = range(8)
SEGMENTS = ["es", "cs", "ss", "ds", "fs", "gs"]
ES, CS, SS, DS, FS, GS = range(6)
WORDS = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"]
NAMES = {
    1: ["al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil", *(f"r{n}b" for n in range(8, 16))],
    2: [*WORDS, *(f"r{n}w" for n in range(8, 16))],
    4: [*(f"e{name}" for name in WORDS), *(f"r{n}d" for n in range(8, 16))],
    8: [*(f"r{name}" for name in WORDS), *(f"r{n}" for n in range(8, 16))],
}
HIGH_BYTES = ["ah", "ch", "dh", "bh"]
POINTERS = {1: "byte ptr", 2: "word ptr", 4: "dword ptr", 8: "qword ptr"}


@dataclass(frozen=True)
class Decoded:
    """What decode_list prints, in its order; what is not said is as in `mov al, [...]`."""

    length: int = 0
    operand_size: int = 1
    write: int = 0
    immediate_source: int = 0
    immediate: int = 0
    reg: int = 0
    high_byte: int = 0
    destination_size: int = 0
    sign_extend: int = 0
    segment: int = DS
    address_size: int = 8
    base: int = NONE
    index: int = NONE
    scale: int = 1
    rip_relative: int = 0
    displacement: int = 0


@dataclass(frozen=True)
class Address:
    text: str
    base: int = NONE
    index: int = NONE
    scale: int = 1
    displacement: int = 0
    size: int = 8
    rip_relative: int = 0
    override: int | None = None

    @property
    def needs_rex(self) -> bool:
        return 8 <= self.base < NONE or 8 <= self.index < NONE

    def segment(self, mode: int) -> int:
        if self.override is not None and (mode != 64 or self.override >= FS):
            return self.override
        return SS if self.base in (SP, BP) else DS

    def written(self, operand_size: int) -> str:
        prefix = "" if self.override is None else f"{SEGMENTS[self.override]}:"
        return f"{POINTERS[operand_size]} {prefix}[{self.text}]"


@dataclass(frozen=True)
class Operation:
    """An instruction but for its memory operand, whose place is a pair of braces."""

    text: str
    decoded: Decoded

    def at(self, address: Address, mode: int) -> Case:
        decoded = replace(
            self.decoded,
            segment=address.segment(mode),
            address_size=address.size,
            base=address.base,
            index=address.index,
            scale=address.scale,
            rip_relative=address.rip_relative,
            displacement=address.displacement % 2**64,
        )
        return Case(mode, self.text.format(address.written(decoded.operand_size)), decoded)


@dataclass(frozen=True)
class Case:
    mode: int
    text: str
    decoded: Decoded


def moves(name: str, reg: int, size: int, high_byte: bool = False) -> Iterator[Operation]:
    known = Decoded(operand_size=size, reg=reg, high_byte=int(high_byte))
    yield Operation(f"mov {name}, {{}}", replace(known, destination_size=size))
    yield Operation(f"mov {{}}, {name}", replace(known, write=1))


def constants(size: int) -> Iterator[Operation]:
    bits = min(8 * size, 32)
    for value in {0, 0x12, -1, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1}:
        known = Decoded(operand_size=size, write=1, immediate_source=1)
        yield Operation(f"mov {{}}, {value}", replace(known, immediate=value % 2 ** (8 * size)))


def extensions(mode: int, reg: int, to: int) -> Iterator[Operation]:
    known = Decoded(reg=reg, destination_size=to)
    for source in (1, 2):
        if source < to:
            for name, sign in (("movzx", 0), ("movsx", 1)):
                decoded = replace(known, operand_size=source, sign_extend=sign)
                yield Operation(f"{name} {NAMES[to][reg]}, {{}}", decoded)
    if mode == 64 and to == 8:
        decoded = replace(known, operand_size=4, sign_extend=1)
        yield Operation(f"movsxd {NAMES[to][reg]}, {{}}", decoded)


def operations(mode: int) -> list[Operation]:
    """Every form with every register and size."""
    sizes = (1, 2, 4, 8) if mode == 64 else (1, 2, 4)
    found: list[Operation] = []
    for reg in range(16 if mode == 64 else 8):
        for size in sizes:
            if mode == 64 or size > 1 or reg < 4:
                found += moves(NAMES[size][reg], reg, size)
            found += extensions(mode, reg, size)
    for reg, name in enumerate(HIGH_BYTES):
        found += moves(name, reg, 1, high_byte=True)
    for size in sizes:
        found += constants(size)
    return found


def addresses_16() -> Iterator[Address]:
    """Table 2-1 of the manual's volume 2A."""
    pairs = [(BX, SI), (BX, DI), (BP, SI), (BP, DI), (SI, NONE), (DI, NONE), (BP, NONE), (BX, NONE)]
    for base, index in pairs:
        text = WORDS[base] + ("" if index == NONE else f"+{WORDS[index]}")
        for displacement in (0, 1, 0x7F, -0x80, 0x80, 0x1234, -0x8000):
            yield Address(f"{text}{displacement:+}", base, index, 1, displacement, 2)
    yield Address("0x1234", displacement=0x1234, size=2)  # in 16-bit code only


def addresses(mode: int, size: int) -> Iterator[Address]:
    """Tables 2-2 and 2-3, and what REX makes of them: every pair of registers among them."""
    names = NAMES[size][: 16 if mode == 64 else 8]
    displacements = (0, 1, 0x7F, -0x80, 0x80, 0x12345678, -0x80000000)
    for base, name in enumerate(names):
        for displacement in displacements:
            yield Address(f"{name}{displacement:+}", base, NONE, 1, displacement, size)
        for index, index_name in enumerate(names):
            if index != SP:
                scale = 1 << (base + index) % 4
                # With scale 1 the assembler may take RSP for the index and turn the two around.
                displacement = displacements[(base + 3 * index) % len(displacements)]
                text = f"{name}+{index_name}*{scale}{displacement:+}"
                yield Address(text, base, index, scale, displacement, size)
        if base != SP:
            for scale in (2, 4, 8):
                text = f"{name}*{scale}+0x1234"
                yield Address(text, NONE, base, scale, 0x1234, size)
        none = "eiz" if size == 4 else "riz"  # a SIB byte that names no index
        yield Address(f"{name}+{none}*1", base, NONE, 1, 0, size)
    if mode == 64:
        name = "rip" if size == 8 else "eip"
        for displacement in (0, 0x12345678, -0x80000000):
            text = f"{name}{displacement:+}"
            yield Address(text, displacement=displacement, size=size, rip_relative=1)
    if size == mode // 8:
        yield Address("0x12345678", displacement=0x12345678, size=size)


def all_addresses(mode: int) -> list[Address]:
    found = [*addresses(mode, 4)]
    found += addresses(mode, 8) if mode == 64 else addresses_16()
    return [a for a in found if mode == 16 or a.text != "0x1234"]


def offsets(mode: int) -> Iterator[Case]:
    """MOV between the accumulator and an offset as wide as an address."""
    widths = {16: (2, 4), 32: (4, 2), 64: (8, 4)}[mode]
    for address_size in widths:
        offset = 0x9122334455667788 >> (64 - 8 * address_size)
        changed = "" if address_size == widths[0] else f"addr{8 * address_size} "
        move = "movabs" if mode == 64 and address_size == 8 else "mov"
        for size in (1, 2, 4, 8) if mode == 64 else (1, 2, 4):
            for override in (None, ES, FS, GS):
                address = Address(f"{offset:#x}", displacement=offset, size=address_size)
                address = replace(address, override=override)
                for operation in moves(NAMES[size][AX], AX, size):
                    case = operation.at(address, mode)
                    yield replace(case, text=changed + case.text.replace("mov", move, 1))


def all_cases(mode: int) -> Iterator[Case]:
    default = {16: 2, 32: 4, 64: 8}[mode]
    everywhere = all_addresses(mode)
    some = [address for address in everywhere if address.size == default][::7][:6]
    other = [address for address in everywhere if address.size != default][::29][:3]
    for operation in operations(mode):
        for address in some + other:
            if not (operation.decoded.high_byte and address.needs_rex):
                yield operation.at(address, mode)
    samples = [*moves(NAMES[4][CX], CX, 4), *extensions(mode, DX, 2), *constants(2)]
    for number, address in enumerate(everywhere):
        yield samples[number % len(samples)].at(address, mode)
        yield samples[0].at(replace(address, override=number % 6), mode)
    yield from offsets(mode)
