"""GNU as and objdump as they see an instruction, and our decoder, built for this host."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from elftools.elf.elffile import ELFFile

from tests.unit.instructions import BP, DS, HIGH_BYTES, NAMES, NONE, SEGMENTS, SP, SS, Decoded

ROOT = Path(__file__).parents[2]
HV = ROOT / "hv"
DRIVERS = Path(__file__).parent / "hv"
TOOLS = os.environ.get("CROSS_COMPILE", "")  # as and objdump for x86, like the build's compiler
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

NUMBERS = {name: number for size in (2, 4, 8) for number, name in enumerate(NAMES[size])}
OPERAND = re.compile(r"(?:(\w+) PTR )?(?:(\ws):)?(?:\[(.*)\]|(0x\w+))")


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
