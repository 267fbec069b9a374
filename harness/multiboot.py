"""Multiboot 1 kernels: reading and checking them, and laying one out in memory with its modules.

Every failure is a BAD_USAGE sentence for a person. The same checks run before every engine, so a
bad image gives the same sentence everywhere. Source: the Multiboot Specification, version 0.6.96.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from harness.engines.base import Boot
from harness.guest import file_word
from harness.verdict import bad_usage

_HEADER_MAGIC = 0x1BADB002
_HEADER_WINDOW = 8192  # bytes at the file's start in which the header must lie (3.1.1)
_FLAG_ADDRESSES = 1 << 16  # the header says itself where to load (3.1.2)
_FLAGS_KNOWN = 0b111  # mandatory ones: page alignment, memory information, video mode
_ELF_MACHINES = {3: "i386", 62: "x86-64"}
_LOW_LIMIT = 0x100000  # firmware and its holes lie below
_PAGE = 0x1000

MEMORY_MIB = range(2, 2561)  # one piece of RAM from 0 on every engine
CPUS = range(1, 9)


@dataclass(frozen=True)
class Segment:
    """``file_size`` bytes at ``offset`` of the file go to ``address``; zeros up to ``size``."""

    address: int
    size: int
    offset: int
    file_size: int


@dataclass(frozen=True)
class Kernel:
    """A multiboot 1 kernel, as its file describes it."""

    path: Path
    segments: tuple[Segment, ...]
    entry: int  # physical
    native: bool  # loadable by QEMU's own loader: ELF32, or with address fields

    @property
    def start(self) -> int:
        """The lowest physical address that it fills."""
        return min(segment.address for segment in self.segments)

    @property
    def end(self) -> int:
        """One past the highest physical address that it fills."""
        return max(segment.address + segment.size for segment in self.segments)


@dataclass(frozen=True)
class PlacedModule:
    """A module's file, its size in bytes, its string, and where it goes."""

    path: Path
    size: int
    string: str
    address: int


@dataclass(frozen=True)
class Layout:
    """A kernel, its modules and the multiboot information, each at its physical address."""

    kernel: Kernel
    command_line: str
    modules: tuple[PlacedModule, ...]
    info_address: int
    info: bytes  # the information structure and all that it points to

    @property
    def end(self) -> int:
        """One past the last byte."""
        return self.info_address + len(self.info)


def _read(path: Path, what: str) -> tuple[bytes, int]:
    try:
        if path.is_dir():
            raise bad_usage(f"{what} {path} is a directory, not a file.")
        with path.open("rb") as file:
            return file.read(_HEADER_WINDOW), os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        raise bad_usage(f"{what} {path} does not exist.") from None
    except OSError as error:
        raise bad_usage(f"{what} {path} can't be read: {error.strerror}.") from None


def _find_header(head: bytes) -> int | None:
    for offset in range(0, len(head) - 11, 4):
        magic, flags, checksum = struct.unpack_from("<III", head, offset)
        if magic == _HEADER_MAGIC and (magic + flags + checksum) & 0xFFFFFFFF == 0:
            return offset
    return None


def read(path: Path) -> Kernel:
    """The multiboot 1 kernel in the file ``path``; RunEnded BAD_USAGE if it isn't one."""
    head, file_size = _read(path, "the image")
    offset = _find_header(head)
    if offset is None:
        raise bad_usage(f"{path} has no multiboot 1 header in its first 8 KiB.")
    (flags,) = struct.unpack_from("<I", head, offset + 4)
    unknown = flags & 0xFFFF & ~_FLAGS_KNOWN
    if unknown:
        raise bad_usage(f"{path} demands multiboot features that nothing here has ({unknown:#x}).")
    if flags & _FLAG_ADDRESSES:
        kernel = _with_addresses(path, head, offset, file_size)
    elif head[:4] == b"\x7fELF":
        kernel = _elf(path, head, file_size)
    else:
        raise bad_usage(f"{path} is not ELF, and its multiboot header has no load addresses.")
    if not any(s.address <= kernel.entry < s.address + s.size for s in kernel.segments):
        raise bad_usage(f"the entry point of {path}, {kernel.entry:#x}, lies outside of it.")
    return kernel


def _with_addresses(path: Path, head: bytes, offset: int, file_size: int) -> Kernel:
    if offset + 32 > len(head):
        raise bad_usage(f"the multiboot header of {path} is cut off.")
    header, load, load_end, bss_end, entry = struct.unpack_from("<5I", head, offset + 12)
    start = offset - (header - load)
    if header < load or start < 0:
        raise bad_usage(f"the load addresses in the header of {path} contradict each other.")
    size = load_end - load if load_end else file_size - start
    if size <= 0 or start + size > file_size:
        raise bad_usage(f"{path} is shorter than its multiboot header says.")
    segment = Segment(load, max(size, bss_end - load), start, size)
    return Kernel(path, (segment,), entry, native=True)


def read_elf(path: Path) -> Kernel:
    """The ELF executable in the file ``path``, multiboot or not; RunEnded BAD_USAGE if it isn't."""
    head, file_size = _read(path, "the kernel")
    if head[:4] != b"\x7fELF":
        raise bad_usage(f"{path} is not an ELF file.")
    return _elf(path, head, file_size)


def _elf(path: Path, head: bytes, file_size: int) -> Kernel:
    wide = head[4:5] == b"\x02"
    if len(head) < 64 or head[4] not in (1, 2) or head[5] != 1:
        raise bad_usage(f"{path} is not a little-endian ELF file of a known class.")
    kind, machine = struct.unpack_from("<HH", head, 16)
    if machine not in _ELF_MACHINES:
        raise bad_usage(f"{path} is an ELF file for another processor (machine {machine}).")
    if kind != 2:
        raise bad_usage(f"{path} is an ELF file, but not a linked executable (type {kind}).")
    if wide:
        entry, table = struct.unpack_from("<QQ", head, 24)
        entry_size, count = struct.unpack_from("<HH", head, 54)
    else:
        entry, table = struct.unpack_from("<II", head, 24)
        entry_size, count = struct.unpack_from("<HH", head, 42)
    if entry_size < (56 if wide else 32) or table + entry_size * count > file_size:
        raise bad_usage(f"the program headers of {path} are damaged.")
    with path.open("rb") as file:
        file.seek(table)
        headers = file.read(entry_size * count)
    segments = []
    physical_entry = entry
    for at in range(0, len(headers), entry_size):
        if wide:
            p_type, _, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz = struct.unpack_from(
                "<IIQQQQQ", headers, at
            )
        else:
            p_type, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz = struct.unpack_from(
                "<6I", headers, at
            )
        if p_type != 1 or p_memsz == 0:
            continue
        if p_filesz > p_memsz or p_offset + p_filesz > file_size:
            raise bad_usage(f"{path} is cut off: a segment goes past the end of the file.")
        segments.append(Segment(p_paddr, p_memsz, p_offset, p_filesz))
        if p_vaddr <= entry < p_vaddr + p_memsz:  # kernels linked high give a virtual entry
            physical_entry = entry - p_vaddr + p_paddr
    if not segments:
        raise bad_usage(f"{path} is an ELF file with nothing to load.")
    return Kernel(path, tuple(segments), physical_entry, native=not wide)


def lay_out(boot: Boot) -> Layout:
    """Place ``boot`` in memory: kernel where it wants, then modules, then the information.

    RunEnded BAD_USAGE if anything is missing, damaged or does not fit.
    """
    if boot.memory_mib not in MEMORY_MIB:
        raise bad_usage(
            f"{boot.memory_mib} MiB of memory can't be given: it must be {MEMORY_MIB[0]} to"
            f" {MEMORY_MIB[-1]} MiB."
        )
    if boot.cpus not in CPUS:
        raise bad_usage(f"{boot.cpus} CPUs can't be given: it must be {CPUS[0]} to {CPUS[-1]}.")
    kernel = read(boot.image)
    memory = boot.memory_mib << 20
    if kernel.start < _LOW_LIMIT:
        raise bad_usage(f"{boot.image} loads at {kernel.start:#x}; below 1 MiB is the firmware's.")
    if kernel.end > memory:
        raise bad_usage(
            f"{boot.image} does not fit in {boot.memory_mib} MiB of memory: it ends at"
            f" {kernel.end:#x}, memory at {memory:#x}."
        )
    # The first word is the image's name, as QEMU and older boot loaders have it.
    command_line = f"{file_word(boot.image)} {boot.command_line}".rstrip()
    _check_text("the command line", command_line)
    position = _aligned(kernel.end)
    modules = []
    for module in boot.modules:
        _check_text(f"the string of module {module.path}", module.string)
        _, size = _read(module.path, "the module")
        if position + size > memory:
            raise bad_usage(
                f"module {module.path} ({size} bytes) does not fit in {boot.memory_mib} MiB of"
                f" memory: {max(0, memory - position)} bytes are left for it."
            )
        modules.append(PlacedModule(module.path, size, module.string, position))
        position = _aligned(position + size)
    info = _information(position, command_line, modules, memory)
    if position + len(info) > memory:
        raise bad_usage(f"{boot.image} and its modules fill all {boot.memory_mib} MiB of memory.")
    return Layout(kernel, command_line, tuple(modules), position, info)


def _check_text(what: str, text: str) -> None:
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise bad_usage(f"{what} has a control character in it: {text!r}.")


def _aligned(address: int) -> int:
    return (address + _PAGE - 1) & ~(_PAGE - 1)


def memory_map(memory: int) -> list[tuple[int, int, int]]:
    """(start, length, type) of a PC with ``memory`` bytes; type 1 is RAM, 2 is reserved."""
    return [
        (0, 0x9FC00, 1),
        (0x9FC00, 0x400, 2),
        (0xF0000, 0x10000, 2),
        (0x100000, memory - 0x100000, 1),
        (0xFEC00000, 0x1400000, 2),
    ]


def _information(base: int, command_line: str, modules: list[PlacedModule], memory: int) -> bytes:
    """The boot information structure (3.3) for ``base``, followed by what it points to."""
    blob = bytearray(128)

    def put(data: bytes) -> int:
        address = base + len(blob)
        blob.extend(data + bytes(-len(data) % 16))
        return address

    def text(string: str) -> int:
        return put(string.encode("utf-8", "surrogateescape") + b"\0")

    command_address = text(command_line)
    name_address = text("vanderpool")
    entries = b"".join(
        struct.pack("<IIII", m.address, m.address + m.size, text(m.string), 0) for m in modules
    )
    modules_address = put(entries)
    regions = b"".join(struct.pack("<IQQI", 20, *region) for region in memory_map(memory))
    regions_address = put(regions)
    flags = 1 << 0 | 1 << 2 | 1 << 6 | 1 << 9 | (1 << 3 if modules else 0)
    struct.pack_into(
        "<IIIIIII", blob, 0,
        flags, 639, (memory - 0x100000) >> 10, 0, command_address, len(modules), modules_address,
    )  # fmt: skip
    struct.pack_into("<II", blob, 44, len(regions), regions_address)
    struct.pack_into("<I", blob, 64, name_address)
    return bytes(blob)


def write_blob(layout: Layout, path: Path, base: int) -> int:
    """Write all of ``layout`` as one flat file that starts at physical ``base``; its size in bytes.

    File data goes from file to file inside the kernel; what has no data stays a hole.
    """
    with path.open("wb") as out:
        with layout.kernel.path.open("rb") as kernel:
            for segment in layout.kernel.segments:
                os.lseek(out.fileno(), segment.address - base, os.SEEK_SET)
                _copy(kernel.fileno(), segment.offset, out.fileno(), segment.file_size)
        for module in layout.modules:
            os.lseek(out.fileno(), module.address - base, os.SEEK_SET)
            with module.path.open("rb") as source:
                _copy(source.fileno(), 0, out.fileno(), module.size)
        os.lseek(out.fileno(), layout.info_address - base, os.SEEK_SET)
        os.write(out.fileno(), layout.info)
        size = _aligned(layout.end - base)
        os.ftruncate(out.fileno(), size)
    return size


def _copy(source: int, offset: int, out: int, count: int) -> None:
    while count > 0:
        done = os.sendfile(out, source, offset, count)
        if done == 0:
            raise bad_usage("an image or module shrank while it was being loaded.")
        offset += done
        count -= done


def write_elf32(kernel: Kernel, path: Path) -> None:
    """Write ``kernel`` as ELF32, which is what QEMU's loader takes of ELF kernels.

    Keeps the file's first 8 KiB order: the multiboot header stays near the start.
    """
    segments = sorted(kernel.segments, key=lambda s: s.offset)
    position = _PAGE
    headers = b""
    with kernel.path.open("rb") as source, path.open("wb") as out:
        for segment in segments:
            headers += struct.pack(
                "<8I", 1, position, segment.address, segment.address,
                segment.file_size, segment.size, 7, _PAGE,
            )  # fmt: skip
            os.lseek(out.fileno(), position, os.SEEK_SET)
            _copy(source.fileno(), segment.offset, out.fileno(), segment.file_size)
            position = _aligned(position + segment.file_size)
        ident = b"\x7fELF\x01\x01\x01" + bytes(9)
        header = ident + struct.pack(
            "<HHIIIIIHHHHHH", 2, 3, 1, kernel.entry, 52, 0, 0, 52, 32, len(segments), 0, 0, 0
        )
        os.lseek(out.fileno(), 0, os.SEEK_SET)
        os.write(out.fileno(), header + headers)
