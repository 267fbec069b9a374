"""What an image says about itself: its build id, its symbols, and whether it is fresh."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
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


def source_line(path: Path, address: int) -> str | None:
    """Where ``address`` was compiled from, as "file.c:12", by DWARF; None if it doesn't say.

    Takes some 0.05 s: for reports of what went wrong, not for every day.
    """
    from elftools.common.exceptions import DWARFError, ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            if not elf.has_dwarf_info():
                return None
            dwarf = elf.get_dwarf_info()
            for unit in _units_with(dwarf, address):
                program = dwarf.line_program_for_CU(unit)
                found = None if program is None else _line_in(program, address)
                if found is not None:
                    return found
    except (OSError, ELFError, DWARFError, ValueError, KeyError, AttributeError):
        return None
    return None


def _units_with(dwarf: Any, address: int) -> Iterator[Any]:
    """The unit that was compiled to ``address``, by the index of them (DWARF 5, 6.1.2).

    All of them where there is no index: that takes twenty times as long.
    """
    index = dwarf.get_aranges()
    if index is None:
        yield from dwarf.iter_CUs()
    elif (offset := index.cu_offset_at_addr(address)) is not None:
        yield dwarf.get_CU_at(offset)


def _line_in(program: Any, address: int) -> str | None:
    """The line of ``address`` in one unit's line program (DWARF 5, 6.2)."""
    before = None
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if before is not None and before.address <= address < state.address:
            files = program["file_entry"]
            # Before version 5 the table's first file has the number 1.
            name = files[before.file - (0 if program["version"] >= 5 else 1)].name
            return f"{name.decode('utf-8', 'replace')}:{before.line}"
        before = None if state.end_sequence else state
    return None


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
