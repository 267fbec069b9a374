"""Archives in the "newc" format of cpio, which Linux unpacks as its first file system.

Equal contents give equal bytes: no times, no owners, entries in the order of their names. Source:
Documentation/driver-api/early-userspace/buffer-format.rst of Linux.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

BLOCK = 512  # an archive's size is a multiple of this, so that another can follow it

_LAST = "TRAILER!!!"


@dataclass(frozen=True)
class File:
    """A regular file with the bytes of ``source``."""

    source: Path
    mode: int = 0o644


@dataclass(frozen=True)
class Link:
    """A symbolic link to ``target``."""

    target: str


@dataclass(frozen=True)
class Folder:
    """A directory, for something to be mounted on: those of files come of themselves."""


@dataclass(frozen=True)
class CharacterDevice:
    """A device node."""

    major: int
    minor: int
    mode: int = 0o600


Entry = File | Link | Folder | CharacterDevice


def write(out: BinaryIO, entries: Mapping[str, Entry]) -> int:
    """Write an archive of ``entries``, by path; directories come of themselves. Its size (bytes).

    Raises OSError if a source can't be read or ``out`` can't be written, ValueError if a source
    shrank meanwhile or is too large for the format.
    """
    names = {name.strip("/"): entry for name, entry in entries.items()}
    folders = {str(above) for name in names for above in Path(name).parents} - {"."}
    position = 0
    for number, name in enumerate(sorted({*names, *folders}), 1):
        entry = names.get(name)
        if entry is None or isinstance(entry, Folder):
            position += _header(out, number, name, stat.S_IFDIR | 0o755)
        elif isinstance(entry, File):
            position += _file(out, number, name, entry)
        elif isinstance(entry, Link):
            target = os.fsencode(entry.target)
            position += _header(out, number, name, stat.S_IFLNK | 0o777, len(target))
            position += out.write(target + bytes(-len(target) % 4))
        else:
            device = (entry.major, entry.minor)
            position += _header(out, number, name, stat.S_IFCHR | entry.mode, device=device)
    position += _header(out, 0, _LAST, 0)
    return position + out.write(bytes(-position % BLOCK))


def _file(out: BinaryIO, number: int, name: str, entry: File) -> int:
    with entry.source.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        header = _header(out, number, name, stat.S_IFREG | entry.mode, size)
        before = out.tell()
        shutil.copyfileobj(source, out, 1 << 20)
        if out.tell() - before != size:
            raise ValueError(f"{entry.source} changed while it was read")
    return header + size + out.write(bytes(-size % 4))


def _header(
    out: BinaryIO,
    number: int,
    name: str,
    mode: int,
    size: int = 0,
    device: tuple[int, int] = (0, 0),
) -> int:
    """Write one entry's header and name; how many bytes that took."""
    if size >= 1 << 32:
        raise ValueError(f"{name} is too large for a cpio archive")
    word = os.fsencode(name) + b"\0"
    fields = (number, mode, 0, 0, 1, 0, size, 0, 0, *device, len(word), 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields) + word
    return out.write(header + bytes(-len(header) % 4))


def _entry(text: str) -> Entry:
    """What a word of the command line names: a program, ``cMAJOR:MINOR``, ``@TARGET``, ``/``."""
    if text == "/":
        return Folder()
    if text.startswith("@"):
        return Link(text[1:])
    major, colon, minor = text.removeprefix("c").partition(":")
    if text.startswith("c") and colon and major.isdigit() and minor.isdigit():
        return CharacterDevice(int(major), int(minor))
    return File(Path(text), 0o755)


def main(arguments: list[str]) -> int:
    """For the build: write archive ``arguments[0]`` of ``NAME=CONTENT`` words; the exit code."""
    target = Path(arguments[0])
    entries = {
        name: _entry(content) for name, _, content in (a.partition("=") for a in arguments[1:])
    }
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as out:
            write(out, entries)
        unfinished.rename(target)
    except (OSError, ValueError) as error:
        print(f"{target} can't be written: {error}", file=sys.stderr)
        return 1
    finally:
        unfinished.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
