"""The decoder of accesses to device pages, against GNU as and objdump.

The one says what bytes an instruction has, the other what an instruction bytes are.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.decoders import assemble, build, decode, disassemble, run
from tests.unit.instructions import AX, BP, CX, DS, ES, FS, GS, NONE, SP, SS, Decoded, all_cases

LOAD = Decoded(operand_size=4, destination_size=4, base=CX)  # mov eax, [rcx]
RIP = replace(LOAD, base=NONE, rip_relative=1, displacement=2**64 - 4)
FAR = replace(LOAD, base=NONE, displacement=0x8000000000000001)


@pytest.fixture(scope="module")
def decode_list(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("decode"), "decode_list")


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
