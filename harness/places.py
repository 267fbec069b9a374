"""Where a processor is, in words: which of the images in the machine runs, and where in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.engines.base import CpuState, Module, Unsupported
from harness.guest import is_guest, words
from harness.image import Symbols, source_line, symbols
from harness.verdict import RunEnded

if TYPE_CHECKING:
    from harness.machine import Machine

_CR0_PE = 1


@dataclass(frozen=True)
class Place:
    """A program (None: the kernel that was booted; else a guest's name) and an address in it."""

    guest: str | None
    address: int
    name: str | None  # symbol and offset
    image: Path | None

    @property
    def who(self) -> str:
        """Whose code it is, for people."""
        return "the kernel" if self.guest is None else f"guest {self.guest}"

    @property
    def function(self) -> str | None:
        """The symbol alone."""
        return self.name.partition("+")[0] if self.name else None

    def line(self) -> str | None:
        """The source line, by DWARF; slow."""
        return source_line(self.image, self.address) if self.image and self.name else None

    def __str__(self) -> str:
        line = self.line()
        return (self.name or f"{self.address:#x}") + (f" ({line})" if line else "")


def guest_name(module: Module) -> str:
    """What the hypervisor calls the guest of this module."""
    named = [value for key, value in words(module.string) if key == "name" and value]
    first = module.string.split()[:1]
    return named[-1] if named else "".join(Path(word).stem for word in first)


def symbol_file(image: Path) -> Path:
    """The file with the symbols of a guest: beside a flat image, where our build leaves it."""
    beside = image.with_suffix(".elf")
    return beside if image.suffix == ".bin" and beside.is_file() else image


class Places:
    """Knows the images in one machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.image = machine.boot.image
        self.guests: Mapping[str, Path] = {
            guest_name(module): symbol_file(module.path)
            for module in machine.boot.modules
            if is_guest(module, machine.boot.modules)
        }

    def running_guests(self) -> Sequence[str]:
        """The guests that were started and have not ended, by the records."""
        started: dict[str, None] = {}
        for record in self._machine.records:
            name = record.get("guest")
            if record.kind == "vm-start" and isinstance(name, str):
                started[name] = None
            elif record.kind == "vm-stop" and isinstance(name, str):
                started.pop(name, None)
        return tuple(started)

    def in_guest(self, cpu: CpuState) -> bool:
        """Whether a processor runs a guest. Where the engine can't tell: whether the descriptor

        table in use is not one of the hypervisor's own, which entry and exit switch.
        """
        if cpu.guest_mode is not None:
            return cpu.guest_mode
        table = symbols(self.image).by_name
        start, end = table.get("image_start"), table.get("image_end")
        if start is None or end is None or not self.running_guests():
            return False
        return not start <= cpu.registers.get("gdtr", 0) < end

    def of(self, cpu: CpuState) -> Place:
        """Where a processor is."""
        address = cpu.registers.get("rip", 0)
        if not cpu.registers.get("cr0", 0) & _CR0_PE:
            address += cpu.registers.get("cs", 0) << 4
        if not self.in_guest(cpu):
            return self.at(address)
        return self.at(address, self._guest_now())

    def _guest_now(self) -> str:
        """Which guest a processor runs: the only one there is, or by the hypervisor's memory."""
        running = self.running_guests()
        if len(running) == 1:
            return running[0]
        with suppress(RunEnded, Unsupported, OSError):
            loaded = self._machine.read("loaded")  # hv/vm/scheduler.c
            for vm in self._machine.read("vms") if loaded else ():
                if vm["vcpu"] == loaded:
                    return str(vm["options"]["name"])
        return "?"

    def at(self, address: int, guest: str | None = None) -> Place:
        """The place of ``address``; ``guest`` names the guest that it belongs to, if any."""
        image = self.image if guest is None else self.guests.get(guest)
        table = symbols(image) if image else Symbols()
        return Place(guest, address, table.symbolize(address), image)
