"""A guest as a scenario has it, and the boot modules that it amounts to.

The grammar of a module's string is that of ``hv/core/words.h``: ``key=value`` words. ``"..."``
may hold blanks, and within it a backslash stands before a quote or a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.engines.base import Module

PROTOCOLS = ("flat", "linux", "multiboot")
USUAL_MEMORY = 4 << 20  # bytes; what a guest gets that does not ask for other
LEAST_MACHINE = 128  # MiB
_FOR_THE_HYPERVISOR = 32 << 20  # bytes: firmware's first MiB, its image, tables, a trace
_PAGES = {"4K": 4 << 10, "2M": 2 << 20, "1G": 1 << 30}  # of a guest's memory, by the word pages=
_USUAL_PAGES = 2 << 20
_STEP = 32 << 20  # bytes, to which a machine's memory is rounded up


@dataclass(frozen=True)
class DataFile:
    """A file that a guest is given: an initial RAM disk, or a multiboot kernel's module."""

    path: Path
    words: str = ""  # what a multiboot kernel sees behind the file's name

    @property
    def string(self) -> str:
        """What the kernel sees; its first word tells the hypervisor which boot module it is."""
        return f"{file_word(self.path)} {self.words}".rstrip()


@dataclass(frozen=True)
class Guest:
    """One guest: its image file, its name, how it boots, and more words of its module string."""

    path: Path
    name: str
    options: tuple[tuple[str, str], ...] = ()
    boot: str = "flat"  # one of PROTOCOLS
    cmdline: str = ""
    initrd: DataFile | None = None
    modules: tuple[DataFile, ...] = ()
    shell: DataFile | None = None  # the RAM disk instead, where a person sits at the console

    @property
    def module_string(self) -> str:
        """What the hypervisor is told: the file's name, then ``key=value`` words."""
        words = [file_word(self.path), f"name={self.name}"]
        words += [word(key, value) for key, value in self.options]
        words += [word("boot", self.boot)] if self.boot != PROTOCOLS[0] else []
        words += [word("cmdline", self.cmdline)] if self.cmdline else []
        words += [word("initrd", self.initrd.string)] if self.initrd else []
        words += [word("module", module.string) for module in self.modules]
        return " ".join(words)

    @property
    def data(self) -> tuple[DataFile, ...]:
        """The files that it is given."""
        return (*((self.initrd,) if self.initrd else ()), *self.modules)

    @property
    def alignment(self) -> int:
        """Of what its memory begins at a multiple, in bytes."""
        return _PAGES.get(dict(self.options).get("pages", ""), _USUAL_PAGES)

    @property
    def memory(self) -> int:
        """How much memory it asks for, in bytes; what the hypervisor won't take counts as usual."""
        return size(dict(self.options).get("memory", "")) or USUAL_MEMORY


_QUOTED = re.compile(r'"((?:\\["\\]|[^"])*)(?:"|\Z)')
_WORD = re.compile(rf'(?:[^ \t\r\n"]|{_QUOTED.pattern})+')


def file_word(path: Path) -> str:
    """The name of ``path`` as one word of a command line."""
    return "_".join(path.name.split())


def word(key: str, value: str) -> str:
    """``key=value``, quoted where it has to be."""
    if re.search(r'[\s"]', value):
        escaped = re.sub(r'(["\\])', r"\\\1", value)
        return f'{key}="{escaped}"'
    return f"{key}={value}"


def words(string: str) -> Iterator[tuple[str, str]]:
    """(key, value) of each word, as the hypervisor reads it; the value of a bare word is ""."""
    for match in _WORD.finditer(string):
        key, _, value = match[0].partition("=")
        yield key, _QUOTED.sub(_unquoted, value)


def _unquoted(match: re.Match[str]) -> str:
    return re.sub(r'\\(["\\])', r"\1", match[1])


def size(text: str) -> int | None:
    """Bytes, for ``128M`` and the like as ``word_size`` of the hypervisor has it; None: no size."""
    found = re.fullmatch(r"(0[xX][0-9a-fA-F]+|[0-9]+)([KkMmGg]?)", text, re.ASCII)
    if not found:
        return None
    number = int(found[1], 16 if found[1][:2] in ("0x", "0X") else 10)
    return number << {"": 0, "k": 10, "m": 20, "g": 30}[found[2].lower()]


def boot_modules(guests: Sequence[Guest]) -> tuple[Module, ...]:
    """The guests' images, then each file that is data for some of them, once."""
    data = {one.path: file_word(one.path) for guest in guests for one in guest.data}
    return (
        *(Module(guest.path, guest.module_string) for guest in guests),
        *(Module(path, name) for path, name in data.items()),
    )


def machine_memory(guests: Sequence[Guest], modules: Sequence[Module]) -> int:
    """How many MiB a machine needs that is to hold these; the modules' files must be there."""
    need = _FOR_THE_HYPERVISOR
    need += sum(guest.memory + 2 * max(guest.alignment, _USUAL_PAGES) for guest in guests)
    need += sum(_up(module.path.stat().st_size, 4096) for module in modules)
    return max(LEAST_MACHINE, _up(need, _STEP) >> 20)


def _up(number: int, unit: int) -> int:
    return -(-number // unit) * unit


def is_guest(module: Module, modules: Sequence[Module]) -> bool:
    """Whether ``module`` is a guest; else one of ``modules`` names it as data."""
    named = {
        value.split()[0].rsplit("/", 1)[-1]
        for other in modules
        for key, value in words(other.string)
        if key in ("initrd", "module") and value.split()
    }
    own = module.string.split()
    return not own or own[0].rsplit("/", 1)[-1] not in named
