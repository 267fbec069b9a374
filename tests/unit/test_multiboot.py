"""Multiboot kernels are read as the specification says, and refused in one sentence."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import pytest

from harness import multiboot
from harness.engines.base import Boot, Module
from harness.verdict import RunEnded, Verdict

MAGIC = 0x1BADB002
HEADER = struct.pack("<III", MAGIC, 0, -MAGIC & 0xFFFFFFFF)


def addresses(
    load: int, load_end: int, bss_end: int, entry: int, *, header: int | None = None
) -> bytes:
    flags = 1 << 16
    return struct.pack(
        "<8I", MAGIC, flags, -(MAGIC + flags) & 0xFFFFFFFF,
        load if header is None else header, load, load_end, bss_end, entry,
    )  # fmt: skip


def elf(
    *, wide: bool = False, machine: int = 3, kind: int = 2, physical: int = 0x100000,
    virtual: int | None = None, entry: int | None = None, body: bytes = HEADER + bytes(500),
    memory: int = 0x2000,
) -> bytes:  # fmt: skip
    virtual = physical if virtual is None else virtual
    entry = virtual + 12 if entry is None else entry
    start = 0x100
    if wide:
        ident = b"\x7fELF\x02\x01\x01" + bytes(9)
        head = struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        program = struct.pack(
            "<IIQQQQQQ", 1, 5, start, virtual, physical, len(body), memory, 0x1000
        )
    else:
        ident = b"\x7fELF\x01\x01\x01" + bytes(9)
        head = struct.pack("<HHIIIIIHHHHHH", kind, machine, 1, entry, 52, 0, 0, 52, 32, 1, 0, 0, 0)
        program = struct.pack("<8I", 1, start, virtual, physical, len(body), memory, 5, 0x1000)
    front = ident + head + program
    return front + bytes(start - len(front)) + body


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("wide", [False, True])
def test_an_elf_kernel_is_read(tmp_path: Path, wide: bool) -> None:
    kernel = multiboot.read(written(tmp_path / "k", elf(wide=wide, machine=62 if wide else 3)))
    assert kernel.entry == 0x10000C
    assert (kernel.start, kernel.end) == (0x100000, 0x102000)
    assert kernel.native is not wide


def test_a_kernel_linked_high_is_entered_at_its_physical_address(tmp_path: Path) -> None:
    kernel = multiboot.read(written(tmp_path / "k", elf(virtual=0xC1000000)))
    assert kernel.entry == 0x10000C


def test_address_fields_win_over_elf(tmp_path: Path) -> None:
    body = addresses(0x200000, 0, 0x201000, 0x200020) + b"x" * 40
    kernel = multiboot.read(written(tmp_path / "k", elf(wide=True, machine=62, body=body)))
    assert kernel.native
    assert kernel.entry == 0x200020
    (segment,) = kernel.segments
    assert (segment.address, segment.offset, segment.file_size) == (0x200000, 0x100, 72)
    assert kernel.end == 0x201000


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "has no multiboot 1 header in its first 8 KiB"),
        (bytes(8192) + HEADER, "has no multiboot 1 header in its first 8 KiB"),
        (struct.pack("<III", MAGIC, 0, 1), "has no multiboot 1 header"),
        (HEADER + bytes(100), "is not ELF, and its multiboot header has no load addresses"),
        (elf(machine=183), r"another processor \(machine 183\)"),
        (elf(kind=1), "not a linked executable"),
        (elf()[:0x140], "is cut off"),
        (elf(memory=0), "nothing to load"),
        (elf(entry=5), "entry point .* lies outside"),
        (struct.pack("<III", MAGIC, 8, -(MAGIC + 8) & 0xFFFFFFFF), "multiboot features .*0x8"),
        (addresses(0x100000, 0x900000, 0, 0x100020), "shorter than its multiboot header says"),
        (addresses(0x100000, 0, 0, 0x100020, header=0x1000), "contradict each other"),
        (addresses(0x100000, 0, 0, 0x100020)[:20], "is cut off"),
        (b"\x7fELF\x07\x01" + HEADER.rjust(90, b"\0"), "known class"),
    ],
)
def test_what_is_no_kernel_is_refused_in_one_sentence(
    tmp_path: Path, data: bytes, sentence: str
) -> None:
    with pytest.raises(RunEnded, match=sentence) as caught:
        multiboot.read(written(tmp_path / "k", data))
    assert caught.value.verdict is Verdict.BAD_USAGE
    assert str(tmp_path / "k") in caught.value.sentence


def test_no_damage_to_a_kernel_file_gets_past_as_anything_but_a_sentence(tmp_path: Path) -> None:
    good = elf()
    for position in range(0x80):
        for value in (0, 0x7F, 0xFF):
            damaged = bytearray(good)
            damaged[position] = value
            with suppress(RunEnded):
                multiboot.lay_out(Boot(written(tmp_path / "k", bytes(damaged)), memory_mib=4))


def test_missing_files_and_directories_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunEnded, match=r"the image .*gone does not exist"):
        multiboot.lay_out(Boot(tmp_path / "gone"))
    with pytest.raises(RunEnded, match="is a directory"):
        multiboot.lay_out(Boot(tmp_path))
    kernel = written(tmp_path / "k", elf())
    with pytest.raises(RunEnded, match=r"the module .*gone does not exist"):
        multiboot.lay_out(Boot(kernel, modules=(Module(tmp_path / "gone", "gone"),)))


def test_what_does_not_fit_is_refused_with_the_numbers(tmp_path: Path) -> None:
    kernel = written(tmp_path / "k", elf())
    large = written(tmp_path / "k2", elf(memory=4 << 20))
    module = written(tmp_path / "m", bytes(3 << 20))
    with pytest.raises(RunEnded, match=r"does not fit in 4 MiB of memory: it ends at 0x500000"):
        multiboot.lay_out(Boot(large, memory_mib=4))
    with pytest.raises(RunEnded, match=r"module .*m \(3145728 bytes\) does not fit in 4 MiB"):
        multiboot.lay_out(Boot(kernel, modules=(Module(module, "m"),), memory_mib=4))
    with pytest.raises(RunEnded, match="below 1 MiB is the firmware's"):
        multiboot.lay_out(Boot(written(tmp_path / "low", elf(physical=0x7000)), memory_mib=4))


def test_the_blob_holds_everything_where_the_information_says(tmp_path: Path) -> None:
    kernel = written(tmp_path / "kernel.elf", elf())
    module = written(tmp_path / "m", b"module's bytes")
    layout = multiboot.lay_out(Boot(kernel, "a=b", (Module(module, "m x=y"),), memory_mib=16))
    base = 0x100000
    size = multiboot.write_blob(layout, tmp_path / "blob", base)
    blob = (tmp_path / "blob").read_bytes()
    assert len(blob) == size

    def at(address: int, count: int) -> bytes:
        return blob[address - base :][:count]

    def text(address: int) -> bytes:
        return blob[address - base :].split(b"\0", 1)[0]

    assert at(0x100000, 12) == HEADER
    info = layout.info_address
    flags, _, upper, _, command, count, modules = struct.unpack("<7I", at(info, 28))
    assert flags == 0b1001001101
    assert upper == 15 * 1024
    assert text(command) == b"kernel.elf a=b"
    assert count == 1
    start, end, string, _ = struct.unpack("<4I", at(modules, 16))
    assert start % 4096 == 0
    assert at(start, end - start) == b"module's bytes"
    assert text(string) == b"m x=y"
    length, regions = struct.unpack("<II", at(info + 44, 8))
    entries = [struct.unpack("<IQQI", at(regions + n, 24)) for n in range(0, length, 24)]
    assert (20, 0x100000, 15 << 20, 1) in entries


def test_an_elf64_kernel_can_be_rewritten_as_elf32(tmp_path: Path) -> None:
    wide = multiboot.read(written(tmp_path / "k", elf(wide=True, machine=62)))
    multiboot.write_elf32(wide, tmp_path / "k32")
    narrow = multiboot.read(tmp_path / "k32")
    assert narrow.native
    assert (narrow.entry, narrow.start, narrow.end) == (wide.entry, wide.start, wide.end)
