"""A frozen machine, as a post-mortem reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from harness import paging
from harness.engines.base import CpuState, Unsupported
from harness.places import Places
from harness.postmortem.words import number
from harness.verdict import RunEnded

if TYPE_CHECKING:
    from harness.machine import Machine


class Body:
    """A frozen machine: its processors, and its memory a page at a time."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.places = Places(machine)
        self.cpus: dict[int, CpuState] = {}
        self.trouble = ""
        self.panic = next((r.data for r in machine.records if r.kind == "panic"), None)
        self._pages: dict[int, bytes] = {}
        self._freeze()

    def _freeze(self) -> None:
        machine = self.machine
        if machine.host.is_stopped():
            self.trouble = "the emulator is stopped by a signal: nothing in it can be asked"
            return
        try:
            if machine.running.process.poll() is None:
                machine.pause()
                for number in range(machine.boot.cpus):
                    self.cpus[number] = machine.running.cpu(number)
            else:
                self.trouble = "the emulator has ended, and the processors' registers with it"
        except (RunEnded, Unsupported, OSError) as trouble:
            self.trouble = f"the processors can't be read: {trouble}"

    @property
    def virtualization(self) -> str | None:
        """What the hypervisor runs guests by, "vmx" or "svm", as its first record says."""
        boot = next((r.data for r in self.machine.records if r.kind == "boot"), {})
        found = boot.get("virtualization")
        kind = found.get("kind") if isinstance(found, Mapping) else None
        return kind if isinstance(kind, str) else None

    def read(self, address: int, length: int) -> bytes:
        """Memory by physical address, which is the hypervisor's linear one too: it maps memory

        to itself. Fewer bytes where there is none.
        """
        data = bytearray()
        while len(data) < length and 0 <= address < 1 << 52:
            at = address + len(data)
            page = self._page(at & ~0xFFF)
            part = page[at & 0xFFF : (at & 0xFFF) + length - len(data)]
            if not part:
                break
            data += part
        return bytes(data)

    def of_guest(
        self, guest: str | None, registers: Mapping[str, int]
    ) -> Callable[[int, int], bytes] | None:
        """How to read a guest's memory by linear address: through its tables, then the nested ones.

        None where the records don't say where those begin.
        """

        starts = [
            r for r in self.machine.records if r.kind == "vm-start" and r.get("guest") == guest
        ]
        tables = {key: starts[-1].get(key) for key in ("ept", "npt")} if starts else {}
        kind, found = next(((k, v) for k, v in tables.items() if isinstance(v, Mapping)), ("", {}))
        root = number(found.get("root"))
        if root is None:
            return None
        nested = paging.NESTED[kind]

        physical = paging.through(self.read, lambda at: nested(self._entry, root, at))

        def entry(address: int, length: int) -> bytes:
            return physical(address, length).ljust(length, b"\0")

        return paging.through(physical, lambda at: paging.walk(entry, registers, at))

    def _entry(self, address: int, length: int) -> bytes:
        """A page-table entry; where no memory is, one that is not present."""
        return self.read(address, length).ljust(length, b"\0")

    def _page(self, address: int) -> bytes:
        if address not in self._pages:
            try:
                if self.machine.host.is_stopped():
                    raise Unsupported("the emulator is stopped")
                self._pages[address] = self.machine.read_physical(address, 4096)
            except (RunEnded, Unsupported, OSError):
                self._pages[address] = b""
        return self._pages[address]
