"""The decoder of accesses to device pages, against three that we did not write.

GNU as says what bytes an instruction has, objdump what an instruction bytes are, and this machine's
processor what an instruction does.
"""

from __future__ import annotations

import os
import platform
import random
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).parents[2]
HV = ROOT / "hv"
DRIVERS = Path(__file__).parent / "hv"
TOOLS = os.environ.get("CROSS_COMPILE", "")  # as and objdump for x86, like the build's compiler
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

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


LOAD = Decoded(operand_size=4, destination_size=4, base=CX)  # mov eax, [rcx]
RIP = replace(LOAD, base=NONE, rip_relative=1, displacement=2**64 - 4)
FAR = replace(LOAD, base=NONE, displacement=0x8000000000000001)


def assemble(directory: Path, mode: int, texts: list[str]) -> list[bytes]:
    """The bytes of each instruction, as GNU as writes them."""
    source = directory / f"{mode}.s"
    lines = [f".code{mode}", ".intel_syntax noprefix"]
    for text in texts:
        lines.append(f"1: {text}\n2: .pushsection .lengths\n .byte 2b - 1b\n .popsection")
    source.write_text("\n".join(lines) + "\n")
    result = source.with_suffix(".o")
    subprocess.run([f"{TOOLS}as", "--64", "-o", result, source], check=True)
    with result.open("rb") as file:
        sections = {part.name: part.data() for part in ELFFile(file).iter_sections()}
    code, lengths = sections[".text"], sections[".lengths"]
    found, at = [], 0
    for length in lengths:
        found.append(code[at : at + length])
        at += length
    assert at == len(code)
    return found


def build(directory: Path, name: str, *more: str | Path) -> Path:
    program = directory / name
    sources = [DRIVERS / f"{name}.c", HV / "vm/decode.c", HV / "vm/mmio.c", *more]
    options = ["-std=gnu17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", *SANITIZERS, f"-I{HV}"]
    subprocess.run(["gcc", *options, "-o", program, *sources], check=True)
    return program


def run(program: Path, *arguments: str, text: str = "") -> str:
    done = subprocess.run([program, *arguments], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def decode_list(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("decode"), "decode_list")


def decode(program: Path, mode: int, instructions: list[bytes]) -> list[Decoded | str]:
    """What each is, or the name of the result where that is not ok."""
    number = {16: 0, 32: 1, 64: 2}[mode]
    lines = run(program, text="".join(f"{number} {data.hex()}\n" for data in instructions))
    found: list[Decoded | str] = []
    for line in lines.splitlines():
        result, *fields = line.split()
        found.append(Decoded(*map(int, fields)) if result == "ok" else result)
    assert len(found) == len(instructions)
    return found


@pytest.mark.parametrize("mode", [16, 32, 64])
def test_every_form_size_and_addressing_mode_means_what_the_assembler_was_told(
    decode_list: Path, tmp_path: Path, mode: int
) -> None:
    cases = list(all_cases(mode))
    assert len(cases) > 500
    instructions = assemble(tmp_path, mode, [case.text for case in cases])
    results = decode(decode_list, mode, instructions)
    for case, data, found in zip(cases, instructions, results, strict=True):
        expected = replace(case.decoded, length=len(data))
        assert found == expected, f"{case.text}: {data.hex(' ')}"


@pytest.mark.parametrize(
    ("mode", "data", "expected"),
    [
        # REX counts only directly before the opcode, and its W is stronger than 66.
        (64, "66 48 8b 01", replace(LOAD, operand_size=8, destination_size=8)),
        (64, "48 66 8b 01", replace(LOAD, operand_size=2, destination_size=2)),
        (64, "4f 40 8b 01", LOAD),
        (64, "40 8a 21", replace(LOAD, operand_size=1, destination_size=1, reg=SP)),
        (64, "8a 21", replace(LOAD, operand_size=1, destination_size=1, high_byte=1)),
        (64, "44 8a 21", replace(LOAD, operand_size=1, destination_size=1, reg=12)),
        # B and X don't hide the escapes to SIB and RIP; an offset has no register to extend.
        (64, "41 8b 04 24", replace(LOAD, base=12)),
        (64, "43 8b 04 20", replace(LOAD, base=8, index=12)),
        (64, "47 8b 05 fc ff ff ff", replace(RIP, reg=8)),
        (64, "67 8b 05 fc ff ff ff", replace(RIP, address_size=4)),
        (64, "41 8b 04 25 fc ff ff ff", replace(RIP, rip_relative=0)),
        (64, "4f a1 01 00 00 00 00 00 00 80", replace(FAR, operand_size=8, destination_size=8)),
        (64, "67 a1 fc ff ff ff", replace(FAR, address_size=4, displacement=0xFFFFFFFC)),
        # Segments: 64-bit mode knows two, and padding with the others changes nothing.
        (64, "2e 2e 3e 26 36 8b 01", LOAD),
        (64, "64 2e 8b 01", replace(LOAD, segment=FS)),
        (64, "64 65 8b 01", replace(LOAD, segment=GS)),
        (32, "2e 26 8b 01", replace(LOAD, segment=ES, address_size=4)),
        (32, "3e 8b 45 00", replace(LOAD, segment=DS, address_size=4, base=BP)),
        (32, "8b 44 2c 00", replace(LOAD, segment=SS, address_size=4, base=SP, index=BP)),
        (32, "8b 44 28 00", replace(LOAD, address_size=4, base=AX, index=BP)),
        # No base: the data segment, although BP's number stands there.
        (32, "8b 05 04 00 00 00", replace(LOAD, address_size=4, base=NONE, displacement=4)),
        (16, "67 66 8b 05 04 00 00 00", replace(LOAD, address_size=4, base=NONE, displacement=4)),
        (32, "67 8b 06 04 00", replace(LOAD, address_size=2, base=NONE, displacement=4)),
        # Twice is once.
        (16, "66 66 67 67 8b 01", replace(LOAD, address_size=4)),
        # 66 makes MOVZX a plain MOV; MOVSXD without REX.W as well.
        (64, "66 0f b7 01", replace(LOAD, operand_size=2, destination_size=2)),
        (64, "63 01", replace(LOAD, sign_extend=1)),
        # Exactly 15 bytes, and more.
        (64, "2e " * 13 + "8b 01", LOAD),
        (64, "2e " * 14 + "8b 01", "invalid"),
        (64, "2e " * 20, "invalid"),
        (64, "2e " * 14 + "90", "unsupported"),
        (64, "66 67 64 2e 2e c7 84 88 00 00 00 00 00", "need-more"),
        (64, "2e " * 5 + "48 c7 84 88 00 00 00 00 00 00 00 00", "invalid"),
        # What is not offered.
        (64, "f0 89 01", "unsupported"),
        (64, "f3 89 01", "unsupported"),
        (64, "f2 c7 00 00 00 00 00", "unsupported"),
        (64, "8b c1", "unsupported"),
        (64, "0f b6 c1", "unsupported"),
        (64, "c7 08 00 00 00 00", "unsupported"),
        (64, "c6 f8 00", "unsupported"),
        (64, "66 63 01", "unsupported"),
        (32, "63 01", "unsupported"),
        (32, "48 8b 01", "unsupported"),
        (64, "8c 01", "unsupported"),
        (64, "01 01", "unsupported"),
        (64, "a5", "unsupported"),
        (64, "0f 6f 01", "unsupported"),
        (64, "c5 f9 6f 01", "unsupported"),
    ],
)
def test_prefixes_and_limits_are_those_of_the_manual(
    decode_list: Path, mode: int, data: str, expected: Decoded | str
) -> None:
    instruction = bytes.fromhex(data)
    if isinstance(expected, Decoded):
        expected = replace(expected, length=len(instruction))
    assert decode(decode_list, mode, [instruction]) == [expected]


def random_instruction(source: random.Random) -> bytes:
    """Mostly one that decodes; REX only where it counts, as objdump shows others on their own."""
    prefixes = source.choices([0x66, 0x67, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65], k=4)
    rex = [source.randrange(0x40, 0x50)] if source.random() < 0.5 else []
    opcode = source.choice([*range(0x88, 0x8C), *range(0xA0, 0xA4), 0xC6, 0xC7, 0x63, 0x0F])
    escaped = [source.choice([0xB6, 0xB7, 0xBE, 0xBF])] if opcode == 0x0F else []
    modrm = source.randrange(0xC0) & (0xC7 if opcode in (0xC6, 0xC7) else 0xFF)
    start = [*prefixes[: source.choice([0, 0, 1, 2, 3, 4])], *rex, opcode, *escaped, modrm]
    return bytes(start) + source.randbytes(15)


NUMBERS = {name: number for size in (2, 4, 8) for number, name in enumerate(NAMES[size])}
OPERAND = re.compile(r"(?:(\w+) PTR )?(?:(\ws):)?(?:\[(.*)\]|(0x\w+))")


@dataclass(frozen=True)
class Shown:
    """A line of objdump's: what it wrote, and its memory operand read back."""

    length: int
    text: str

    def decoded(self, like: Decoded) -> Decoded:
        """`like`, with what the text says."""
        match = re.search(r"(mov\w*)\s+(.*)$", self.text)
        assert match, self.text
        mnemonic, operands = match[1], match[2]
        memory = OPERAND.search(operands)
        assert memory, self.text
        size, segment, inside, offset = memory.groups()
        base = index = NONE
        scale, displacement, rip_relative = 1, int(offset, 16) if offset else 0, 0
        for sign, part in re.findall(r"([+-]?)([^+-]+)", inside or ""):
            name, _, factor = part.partition("*")
            if part.startswith("0x"):
                displacement = int(sign + part, 16)
            elif name in ("rip", "eip"):
                rip_relative = 1
            elif name in ("riz", "eiz"):
                pass
            elif factor or base != NONE:
                index, scale = NUMBERS[name], int(factor or "1")
            else:
                base = NUMBERS[name]
        default = SS if base in (SP, BP) else DS
        sizes = {"BYTE": 1, "WORD": 2, "DWORD": 4, "QWORD": 8}
        found = replace(
            like,
            length=self.length,
            operand_size=sizes[size] if size else like.operand_size,
            write=int(operands.startswith(memory[0])),
            sign_extend=int(mnemonic.startswith("movs")),
            segment=SEGMENTS.index(segment) if segment else default,
            base=base,
            index=index,
            scale=scale,
            rip_relative=rip_relative,
            displacement=displacement % 2 ** (8 * like.address_size),
        )
        other = operands.replace(memory[0], "").strip(",")
        if other.startswith("0x"):
            immediate = int(other, 16) % 2 ** (8 * found.operand_size)
            return replace(found, immediate_source=1, immediate=immediate)
        if other in HIGH_BYTES:
            return replace(found, reg=HIGH_BYTES.index(other), high_byte=1)
        for width, names in NAMES.items():
            if other in names:
                found = replace(found, reg=names.index(other), high_byte=0)
                return found if found.write else replace(found, destination_size=width)
        raise AssertionError(self.text)


def disassemble(directory: Path, mode: int, instructions: list[bytes]) -> list[Shown]:
    """What objdump takes each of them for; each has 32 bytes to itself, filled up with NOPs."""
    slot = 32
    image = directory / f"{mode}.bin"
    image.write_bytes(b"".join(data.ljust(slot, b"\x90") for data in instructions))
    machine = {16: "i8086", 32: "i386", 64: "i386:x86-64"}[mode]
    listing = subprocess.run(
        [f"{TOOLS}objdump", "-D", "-b", "binary", "-m", machine, "-M", "intel", "-w", image],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = []
    for line in listing.splitlines():
        columns = line.split("\t")
        if len(columns) == 3 and int(columns[0].strip(" :"), 16) % slot == 0:
            text = columns[2].partition("#")[0].strip()
            found.append(Shown(len(bytes.fromhex(columns[1])), text))
    assert len(found) == len(instructions)
    return found


@pytest.mark.parametrize("mode", [16, 32, 64])
def test_objdump_agrees_about_random_bytes(decode_list: Path, tmp_path: Path, mode: int) -> None:
    source = random.Random(mode)
    instructions = [random_instruction(source) for _ in range(2500)]
    pairs = zip(instructions, decode(decode_list, mode, instructions), strict=True)
    decoded = [(data, found) for data, found in pairs if isinstance(found, Decoded)]
    assert len(decoded) > 1000
    listing = disassemble(tmp_path, mode, [data[: found.length] for data, found in decoded])
    for (data, found), shown in zip(decoded, listing, strict=True):
        cut = found.displacement % 2 ** (8 * found.address_size)
        message = f"{data[: found.length].hex(' ')}: {shown.text}"
        assert shown.decoded(found) == replace(found, displacement=cut), message


def test_no_bytes_make_the_decoder_read_too_far_or_change_its_mind(tmp_path: Path) -> None:
    counts = run(build(tmp_path, "decode_fuzz"), "300000", "1").split()
    seen = dict(zip(counts[::2], map(int, counts[1::2]), strict=True))
    assert sum(seen.values()) == 300_000
    assert min(seen.values()) > 5_000, "the inputs must reach every result"


def test_devices_and_registers_get_exactly_what_the_access_says(tmp_path: Path) -> None:
    run(build(tmp_path, "decode_mmio"))


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
