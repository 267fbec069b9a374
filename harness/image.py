"""What an image says about itself: its build id, its symbols, and whether it is fresh."""

from __future__ import annotations

import posixpath
import struct
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.verdict import RunEnded, Verdict

_NT_GNU_BUILD_ID = 3
_SHT_NOTE = 7
_PT_NOTE = 4


def build_id(path: Path) -> str | None:
    """The GNU build id of the ELF file ``path`` as hex digits; None if it has none."""
    try:
        data = path.read_bytes()
        return _find_build_id(data)
    except (OSError, struct.error, IndexError, OverflowError):
        return None


def _find_build_id(data: bytes) -> str | None:
    # By hand: this is on the way of every run, and importing an ELF library takes 0.1 s.
    if data[:4] != b"\x7fELF" or data[5] != 1:
        return None
    wide = data[4] == 2
    if wide:
        ph_table, sh_table = struct.unpack_from("<QQ", data, 32)
        ph_size, ph_count, sh_size, sh_count = struct.unpack_from("<4H", data, 54)
    else:
        ph_table, sh_table = struct.unpack_from("<II", data, 28)
        ph_size, ph_count, sh_size, sh_count = struct.unpack_from("<4H", data, 42)
    for index in range(sh_count):
        at = sh_table + index * sh_size
        (kind,) = struct.unpack_from("<I", data, at + 4)
        offset, size = struct.unpack_from("<QQ" if wide else "<II", data, at + (24 if wide else 16))
        if kind == _SHT_NOTE and (found := _note(data[offset : offset + size])):
            return found
    for index in range(ph_count):
        at = ph_table + index * ph_size
        (kind,) = struct.unpack_from("<I", data, at)
        if wide:
            offset, _, _, size = struct.unpack_from("<4Q", data, at + 8)
        else:
            offset, _, _, size = struct.unpack_from("<4I", data, at + 4)
        if kind == _PT_NOTE and (found := _note(data[offset : offset + size])):
            return found
    return None


def _note(data: bytes) -> str | None:
    at = 0
    while at + 12 <= len(data):
        name_size, size, kind = struct.unpack_from("<III", data, at)
        name = at + 12
        content = name + (name_size + 3 & ~3)
        if kind == _NT_GNU_BUILD_ID and data[name : name + 4] == b"GNU\0":
            return data[content : content + size].hex()
        at = content + (size + 3 & ~3)
    return None


@dataclass(frozen=True)
class Symbols:
    """The symbols of one image, sorted by address; empty if the image has none."""

    addresses: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    by_name: dict[str, int] = field(default_factory=dict)

    def symbolize(self, address: int) -> str | None:
        """``address`` as "name+0x12"; None if no symbol covers it."""
        index = bisect_right(self.addresses, address) - 1
        if index < 0:
            return None
        offset = address - self.addresses[index]
        if offset >= max(1, self.sizes[index]):
            return None
        return f"{self.names[index]}+{offset:#x}" if offset else self.names[index]

    def symbolize_return(self, address: int) -> str | None:
        """The call that returns to ``address``, which may be past the end of its function."""
        before = self.symbolize(address - 1)
        if before is None:
            return None
        name, _, offset = before.partition("+")
        return f"{name}+{int(offset or '0', 16) + 1:#x}"

    def start_of(self, address: int) -> int | None:
        """Where the symbol that covers ``address`` begins; None if there is none."""
        if self.symbolize(address) is None:
            return None
        return self.addresses[bisect_right(self.addresses, address) - 1]

    def address(self, name: str) -> int | None:
        """The address of the symbol ``name``, or None."""
        return self.by_name.get(name)


@lru_cache(maxsize=16)
def _load_symbols(path: Path, stamp: tuple[int, int]) -> Symbols:
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    found: dict[int, tuple[str, int]] = {}
    names: dict[str, int] = {}
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            end = max((s["sh_addr"] + s["sh_size"] for s in elf.iter_sections()), default=0)
            table = elf.get_section_by_name(".symtab")
            if not isinstance(table, SymbolTableSection):
                return Symbols()
            for symbol in table.iter_symbols():
                kind = symbol["st_info"]["type"]
                if kind not in ("STT_FUNC", "STT_OBJECT", "STT_NOTYPE") or not symbol.name:
                    continue
                if symbol["st_shndx"] in ("SHN_UNDEF", "SHN_ABS"):
                    continue
                names.setdefault(symbol.name, symbol["st_value"])
                known = found.get(symbol["st_value"])
                if known is None or (kind == "STT_FUNC" and not known[1]):
                    found[symbol["st_value"]] = (symbol.name, symbol["st_size"])
    except (OSError, ELFError, ValueError, KeyError, UnicodeDecodeError):
        return Symbols()
    addresses = sorted(found)
    # A symbol without a size (assembly) reaches to the next one; the last, to the image's end.
    sizes = [
        found[a][1] or (addresses[i + 1] if i + 1 < len(addresses) else max(end, a)) - a
        for i, a in enumerate(addresses)
    ]
    return Symbols(tuple(addresses), tuple(found[a][0] for a in addresses), tuple(sizes), names)


def symbols(path: Path) -> Symbols:
    """The symbols of the ELF file ``path``; empty if it has none or can't be read. Cached."""
    try:
        status = path.stat()
    except OSError:
        return Symbols()
    return _load_symbols(path.resolve(), (status.st_mtime_ns, status.st_size))


def contents(path: Path, address: int, length: int) -> bytes:
    """What the ELF file ``path`` puts into memory at ``address``; fewer bytes where that ends."""
    try:
        status = path.stat()
    except OSError:
        return b""
    for start, data in _segments(path, (status.st_mtime_ns, status.st_size)):
        if 0 <= address - start < len(data):
            return data[address - start : address - start + length]
    return b""


@lru_cache(maxsize=16)
def _segments(path: Path, _stamp: tuple[int, int]) -> tuple[tuple[int, bytes], ...]:
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with path.open("rb") as file:
            segments = ELFFile(file).iter_segments("PT_LOAD")
            return tuple((segment["p_vaddr"], segment.data()) for segment in segments)
    except (OSError, ELFError, ValueError, KeyError):
        return ()


def source_line(path: Path, address: int) -> str | None:
    """Where ``address`` was compiled from, as "file.c:12", by DWARF; None if it doesn't say.

    Takes some 0.1 s a source file: for reports of what went wrong, not for every day.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    stamp = (status.st_mtime_ns, status.st_size)
    unit = _unit_of(path, stamp, address)
    for start, end, place in _lines_of(path, stamp, unit) if unit is not None else ():
        if start <= address < end:
            return place
    return None


def _unit_of(path: Path, stamp: tuple[int, int], address: int) -> int | None:
    """The offset of the compilation unit that ``address`` belongs to, by .debug_aranges."""
    ranges = _address_ranges(path, stamp)
    index = bisect_right(ranges, (address, float("inf"), 0)) - 1
    return ranges[index][2] if index >= 0 and address < ranges[index][1] else None


@lru_cache(maxsize=16)
def _address_ranges(path: Path, _stamp: tuple[int, int]) -> list[tuple[int, float, int]]:
    from elftools.common.exceptions import DWARFError, ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            table = elf.get_dwarf_info().get_aranges() if elf.has_dwarf_info() else None
            entries = table.entries if table is not None else ()
            return sorted((e.begin_addr, e.begin_addr + e.length, e.info_offset) for e in entries)
    except (OSError, ELFError, DWARFError, ValueError, KeyError, AttributeError):
        return []


@lru_cache(maxsize=256)
def _lines_of(path: Path, _stamp: tuple[int, int], unit: int) -> list[tuple[int, int, str]]:
    """The rows of a unit's line program (DWARF 5, 6.2): start, end, place."""
    from elftools.common.exceptions import DWARFError, ELFError
    from elftools.elf.elffile import ELFFile

    rows: list[tuple[int, int, str]] = []
    try:
        with path.open("rb") as file:
            dwarf = ELFFile(file).get_dwarf_info()
            program = dwarf.line_program_for_CU(dwarf.get_CU_at(unit))
            before = None
            for entry in program.get_entries() if program is not None else ():
                state = entry.state
                if state is None:
                    continue
                if before is not None and before.address < state.address:
                    place = f"{_file_name(program, before.file)}:{before.line}"
                    rows.append((before.address, state.address, place))
                before = None if state.end_sequence else state
    except (OSError, ELFError, DWARFError, ValueError, KeyError, AttributeError, IndexError):
        pass
    return rows


def _file_name(program: Any, number: int) -> str:
    """The name of a file of a line program, with its directory unless that is absolute."""
    first = 0 if program["version"] >= 5 else 1  # before version 5 both tables start at 1
    entry = program["file_entry"][number - first]
    name: str = entry.name.decode("utf-8", "replace")
    directories = program["include_directory"]
    index = entry.dir_index - first
    if not 0 <= index < len(directories):
        return name
    directory = directories[index].decode("utf-8", "replace")
    return name if directory.startswith("/") else posixpath.normpath(f"{directory}/{name}")


def require_fresh(image: Path) -> None:
    """RunEnded STALE_IMAGE if ``image`` is the checkout's own and its sources are newer.

    Asks `make`; where there is no make, or no Makefile, nothing is known and nothing is said.
    """
    import shutil
    import subprocess

    from harness import project

    root = project.root()
    make = shutil.which("make")
    if image.resolve() != project.image().resolve() or not (root / "Makefile").exists():
        return
    if make is None or not image.exists():
        return
    target = str(image.resolve().relative_to(root.resolve()))
    environment = _outside_make()
    try:
        asked = subprocess.run(
            [make, "-q", "-C", str(root), target],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=20,
            check=False,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    if asked.returncode == 1:  # 2 is make's own trouble: no answer
        raise RunEnded(
            Verdict.STALE_IMAGE, f"{target} is older than its sources: run `make` first."
        )


def _outside_make() -> dict[str, str]:
    """The environment without what an outer `make` tells its children."""
    import os

    private = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEFILES", "MAKEOVERRIDES")
    return {key: value for key, value in os.environ.items() if key not in private}
