"""Linux entered directly, by its PVH entry point: a layout in memory as `multiboot` has them.

The processor's state at that entry is what multiboot asks for as well (flat 32-bit protected mode,
EBX holds the information's address), so the same reset ROM serves. Source: docs/misc/pvh.pandoc and
xen/include/public/arch-x86/hvm/start_info.h of Xen.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Sequence
from pathlib import Path

from harness import multiboot
from harness.multiboot import Layout, PlacedModule
from harness.verdict import bad_usage

_MAGIC = 0x336EC578
_ENTRY_NOTE = (b"Xen\0", 18)  # XEN_ELFNOTE_PHYS32_ENTRY
_PT_NOTE = 4
_LARGEST_NOTES = 1 << 16  # bytes
_INITRD_AT = 1 << 21  # alignment: what comes before it may grow while Linux starts
_HEAD = struct.Struct("<IIIIQQQQII")  # struct hvm_start_info, version 1
_MODULE = struct.Struct("<QQQQ")  # struct hvm_modlist_entry
_REGION = struct.Struct("<QQII")  # struct hvm_memmap_table_entry
_RSDP = 0xF0000  # where the reset ROM has it


def entry(path: Path) -> int:
    """The PVH entry point (physical) in the notes of the ELF64 file; BAD_USAGE if it has none."""
    with path.open("rb") as file:
        head = file.read(64)
        if len(head) == 64 and head[:5] == b"\x7fELF\x02":
            (table,) = struct.unpack_from("<Q", head, 32)
            size, count = struct.unpack_from("<HH", head, 54)
            file.seek(table)
            headers = file.read(size * count)
            for at in range(0, len(headers) - 55, max(size, 56)):
                kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", headers, at)
                if kind == _PT_NOTE:
                    file.seek(offset)
                    found = _in_notes(file.read(min(length, _LARGEST_NOTES)))
                    if found is not None:
                        return found
    raise bad_usage(f"{path} has no PVH entry point.")


def _in_notes(notes: bytes) -> int | None:
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, at)
        start = at + 12 + (name_size + 3 & ~3)
        if (notes[at + 12 : at + 12 + name_size], kind) == _ENTRY_NOTE:
            return int.from_bytes(notes[start : start + size], "little")
        at = start + (size + 3 & ~3)
    return None


def lay_out(
    kernel_path: Path, archives: Sequence[Path], command_line: str, memory_mib: int
) -> Layout:
    """Place an uncompressed Linux, and ``archives`` one behind the other as its initramfs.

    RunEnded BAD_USAGE if anything is damaged or does not fit.
    """
    kernel = dataclasses.replace(multiboot.read_elf(kernel_path), entry=entry(kernel_path))
    memory = memory_mib << 20
    first = position = -(-kernel.end // _INITRD_AT) * _INITRD_AT
    placed = []
    for archive in archives:
        position = (position + 3) & ~3  # zeros between archives are skipped by Linux
        size = archive.stat().st_size
        placed.append(PlacedModule(archive, size, "", position))
        position += size
    info_address = (position + 0xFFF) & ~0xFFF
    info = _start_info(info_address, first, position - first, command_line, memory)
    if info_address + len(info) > memory:
        raise bad_usage(f"{kernel_path} and its files do not fit in {memory_mib} MiB of memory.")
    return Layout(kernel, command_line, tuple(placed), info_address, info)


def _start_info(base: int, initrd: int, size: int, command_line: str, memory: int) -> bytes:
    regions = [(start, length, kind, 0) for start, length, kind in multiboot.memory_map(memory)]
    module_at = base + _HEAD.size
    regions_at = module_at + _MODULE.size
    text_at = regions_at + _REGION.size * len(regions)
    head = _HEAD.pack(
        _MAGIC, 1, 0, 1, module_at, text_at, _RSDP, regions_at, len(regions), 0
    )  # fmt: skip
    return b"".join(
        (
            head,
            _MODULE.pack(initrd, size, 0, 0),
            *(_REGION.pack(*region) for region in regions),
            command_line.encode() + b"\0",
        )
    )
