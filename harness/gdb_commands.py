"""Commands for gdb, which loads this file: what a hypervisor's developer wants to see.

It runs in gdb's own Python, so of this package it imports only what needs nothing else.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gdb

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness import paging

_GUESTS: dict[str, str] = {}  # name: symbol file


@contextlib.contextmanager
def _physical() -> Iterator[None]:
    """Within it memory is read by physical address, also while a guest's tables are in use.

    By a packet of QEMU's, which our bridge to Bochs knows too. Elsewhere nothing changes: the
    hypervisor maps memory to itself, so that its linear addresses are physical ones.
    """
    packet = "maintenance packet Qqemu.PhyMemMode:"
    try:
        known = '"OK"' in gdb.execute(f"{packet}1", to_string=True)
    except gdb.error:
        known = False  # no remote machine
    try:
        yield
    finally:
        if known:
            gdb.execute(f"{packet}0", to_string=True)


def _read(address: int, length: int) -> bytes:
    with _physical():
        return bytes(gdb.selected_inferior().read_memory(address, length))


def _number(expression: str) -> int:
    """What an expression of gdb's comes to."""
    if not expression.strip():
        raise gdb.GdbError("this takes an argument")
    return int(gdb.parse_and_eval(expression)) & (1 << 64) - 1


def _two_numbers(arguments: str) -> tuple[int, int]:
    """Two expressions; a blank within brackets does not part them."""
    words, depth = [""], 0
    for letter in arguments.strip():
        depth += (letter in "([") - (letter in ")]")
        if letter != " " or depth:
            words[-1] += letter
        elif words[-1]:
            words.append("")
    if len(words) != 2:
        raise gdb.GdbError(
            "this takes two arguments; put brackets round an expression that has blanks"
        )
    return _number(words[0]), _number(words[1])


class _Command(gdb.Command):  # type: ignore[misc]  # gdb ships no types
    """A command; its first line of text is what `hv-help` shows."""

    name = ""

    def __init__(self) -> None:
        super().__init__(self.name, gdb.COMMAND_DATA)

    def invoke(self, argument: str, from_tty: bool) -> None:
        """Carry it out; what goes wrong is said in one line."""
        self.dont_repeat()
        try:
            self.run(argument)
        except (gdb.error, gdb.MemoryError, ValueError) as error:
            raise gdb.GdbError(str(error)) from None

    def run(self, argument: str) -> None:
        """What the command does."""


class Help(_Command):
    """hv-help: this list."""

    name = "hv-help"

    def run(self, argument: str) -> None:
        """Print the first line of each command's text."""
        for command in COMMANDS:
            print((command.__doc__ or "").splitlines()[0])


class Guests(_Command):
    """hv-guests: the virtual machines, and how they ended."""

    name = "hv-guests"

    def run(self, argument: str) -> None:
        """Go through `vms` of hv/main.c."""
        vms = gdb.lookup_global_symbol("vms") or gdb.lookup_static_symbol("vms")
        if vms is None:
            raise gdb.GdbError("this image has no guests; hv-kernel loads the hypervisor's symbols")
        value = vms.value()
        first, last = value.type.range()
        for index in range(first, last + 1):
            name = value[index]["options"]["name"].string()
            if name:
                print(f"vms[{index}] {name}: {value[index]['end']}, vcpu {value[index]['vcpu']}")


class GuestFile(_Command):
    """hv-guest-file NAME=FILE: where the symbols of a guest are."""

    name = "hv-guest-file"

    def run(self, argument: str) -> None:
        """Remember it."""
        name, _, path = argument.partition("=")
        _GUESTS[name.strip()] = path.strip()


class Guest(_Command):
    """hv-guest NAME: use a guest's symbols (its addresses are those of the hypervisor's too)."""

    name = "hv-guest"

    def run(self, argument: str) -> None:
        """Replace the symbols."""
        path = _GUESTS.get(argument.strip())
        if path is None:
            raise gdb.GdbError(f"no guest is called {argument!r}; there is: {', '.join(_GUESTS)}")
        gdb.execute(f"symbol-file {path}")


class Kernel(_Command):
    """hv-kernel: use the hypervisor's symbols again."""

    name = "hv-kernel"

    def __init__(self) -> None:
        super().__init__()
        self._file = gdb.current_progspace().filename

    def run(self, argument: str) -> None:
        """Replace the symbols."""
        gdb.execute(f"symbol-file {self._file}")


class Vmcb(_Command):
    """hv-vmcb ADDRESS: a VMCB, decoded by the hypervisor's own structure."""

    name = "hv-vmcb"

    def run(self, argument: str) -> None:
        """Print it."""
        address = _number(argument)
        gdb.lookup_type("struct vmcb")  # raises the sentence, if a guest's symbols are loaded
        with _physical():
            gdb.execute(f"print -pretty on -- *(struct vmcb *){address:#x}")


class Vmcs(_Command):
    """hv-vmcs ADDRESS: a VMCS as Bochs keeps it, by field name.

    What real processors put into the region is their own affair (SDM 3C 25.11.1), and KVM keeps
    the current one to itself.
    """

    name = "hv-vmcs"

    def run(self, argument: str) -> None:
        """Print the fields that are not 0."""
        from harness import vmcs

        address = _number(argument)
        fields = gdb.lookup_type("enum vmcs_field").fields()
        names = {int(field.enumval): field.name for field in fields}
        for name, value in vmcs.decode(_read(address, vmcs.REGION), names).items():
            if value:
                print(f"{name:<44} {value:#x}")


class _Walk(_Command):
    def show(self, walk: paging.Walk) -> None:
        """The entries from the root down, and where they lead."""
        for level, entry in enumerate(walk.entries):
            print(f"level {4 - level}: {entry:#018x}")
        if walk.address is None:
            print("not mapped")
        else:
            print(f"{walk.address:#x}, {', '.join(sorted(walk.allows))}, page of {walk.size:#x}")


class WalkEpt(_Walk):
    """hv-walk-ept ROOT ADDRESS: translate a guest-physical address by EPT."""

    name = "hv-walk-ept"

    def run(self, argument: str) -> None:
        """Walk and print."""
        root, address = _two_numbers(argument)
        self.show(paging.walk_ept(_read, root, address))


class WalkNpt(_Walk):
    """hv-walk-npt ROOT ADDRESS: translate a guest-physical address by nested paging."""

    name = "hv-walk-npt"

    def run(self, argument: str) -> None:
        """Walk and print."""
        root, address = _two_numbers(argument)
        self.show(paging.walk_npt(_read, root, address))


class WalkLong(_Walk):
    """hv-walk CR3 ADDRESS: translate a linear address by four levels of ordinary page tables."""

    name = "hv-walk"

    def run(self, argument: str) -> None:
        """Walk and print."""
        root, address = _two_numbers(argument)
        self.show(paging.walk_long(_read, root, address))


COMMANDS: tuple[type[Any], ...] = (
    Help, Guests, GuestFile, Guest, Kernel, Vmcb, Vmcs, WalkEpt, WalkNpt, WalkLong,
)  # fmt: skip

for _command in COMMANDS:
    _command()
