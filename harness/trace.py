"""The exit trace: read out of the hypervisor's memory, decoded, summed up.

`hv/vm/trace.h` is the other side. Layouts and names come out of the image's debug information.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness import dwarf
from harness.verdict import RunEnded, Verdict

Read = Callable[[int, int], bytes]
"""Physical memory by address and length (bytes)."""

MOST_BYTES = 64 << 20  # of one ring: what claims to be larger is no ring of ours

_WANTED = {
    "hv/vm/trace.c": ("trace_rings", "struct exit_record"),
    "hv/vm/exit.c": ("enum vm_exit_kind", "struct vm_exit"),
    "hv/main.c": ("vms",),
    "hv/vm/hypercall.c": ("enum hypercall",),
    "hv/core/time.c": ("hz",),
}


@dataclass(frozen=True)
class Exit:
    """One exit of a guest. ``time`` and ``cycles`` are in TSC ticks."""

    time: int  # when it came to its handler
    cpu: int
    guest: str
    vcpu: int
    kind: str  # as the `vm-stop` record counts it: "cpuid", "msr-read"
    what: str  # "out 0x3f8", "leaf 0x1"; "" where the kind says it all
    rip: int
    cycles: int | None  # that the hypervisor took for it; None: it is not done with it


@dataclass(frozen=True)
class Trace:
    """The exits that a machine kept, in order."""

    exits: tuple[Exit, ...]
    overwritten: tuple[int, ...]  # by processor: how many older ones it has no longer
    hz: int  # TSC ticks a second

    on: bool = True  # whether it keeps any at all

    @property
    def lost(self) -> int:
        """How many older exits were overwritten."""
        return sum(self.overwritten)

    def of(self, guest: str) -> list[Exit]:
        """The exits of one guest."""
        return [one for one in self.exits if one.guest == guest]

    def guests(self) -> list[str]:
        """Whose exits there are, in order of their first one."""
        return list(dict.fromkeys(one.guest for one in self.exits))

    def summary(self) -> list[Row]:
        """By guest and kind: how many, and the cycles that the hypervisor took for them."""
        groups: dict[tuple[str, str], list[int]] = {}
        for one in self.exits:
            groups.setdefault((one.guest, one.kind), []).append(one.cycles or 0)
        total = sum(map(sum, groups.values())) or 1
        order = {guest: index for index, guest in enumerate(self.guests())}
        rows = [
            Row(guest, kind, len(c), min(c), int(statistics.median(c)), max(c), sum(c) / total)
            for (guest, kind), c in groups.items()
        ]
        return sorted(rows, key=lambda row: (order[row.guest], -row.share, row.kind))

    def as_json(self) -> dict[str, Any]:
        """The summary, in plain JSON types; the exits themselves are for `harness.timeline`."""
        rows = [asdict(row) for row in self.summary()]
        return {"kept": len(self.exits), "lost": self.lost, "hz": self.hz, "summary": rows}


@dataclass(frozen=True)
class Row:
    """One line of a summary; ``share`` is of all cycles that the hypervisor took for exits."""

    guest: str
    kind: str
    count: int
    least: int
    median: int
    most: int
    share: float


def fetch(read: Read, image: Path) -> Trace:
    """The trace of the machine that runs ``image``; the machine stands still, or waits at its end.

    RunEnded FAILED if what is in memory is no trace, BAD_USAGE if the image has no debug
    information; and as ``read`` does.
    """
    read = _whole(read)
    layout = dwarf.layout(image, _WANTED)
    names = _Names(read, layout)
    exits: list[Exit] = []
    lost: list[int] = []
    address, type_ = layout.locate("trace_rings")
    rings = type_.decode(read(address, type_.size))
    for cpu, ring in enumerate(rings):
        records, overwritten = _records(read, layout, ring)
        lost.append(overwritten)
        exits += (names.exit(cpu, *record) for record in records)
    on = any(ring["next"] for ring in rings)
    exits.sort(key=lambda one: one.time)  # of several processors; each has its own in order
    hz, number = layout.locate("hz")
    return Trace(tuple(exits), tuple(lost), max(1, number.decode(read(hz, number.size))), on)


def _whole(read: Read) -> Read:
    """``read``, but RunEnded FAILED where it gives less than was asked for."""

    def checked(address: int, length: int) -> bytes:
        data = read(address, length)
        if len(data) != length:
            raise RunEnded(Verdict.FAILED, f"the memory at {address:#x} can't be read")
        return data

    return checked


_FIELDS = ("time", "rip", "facts", "label.cycles", "label.vm", "label.vcpu", "label.kind")


def _records(
    read: Read, layout: dwarf.Layout, ring: Mapping[str, int]
) -> tuple[Iterable[tuple[Any, ...]], int]:
    """The ``_FIELDS`` of one ring's records, oldest first, and how many were overwritten."""
    start, end, next_, laps = (ring[name] for name in ("start", "end", "next", "laps"))
    if next_ == 0:
        return (), 0  # off
    record = layout.types["struct exit_record"]
    whole = (end - start) % record.size == 0 and (next_ - start) % record.size == 0
    if not (whole and start <= next_ <= end and 0 < end - start <= MOST_BYTES):
        raise RunEnded(Verdict.FAILED, "the exit trace in memory is damaged: no ring is there")
    data = read(start, (end if laps else next_) - start)
    if laps:  # then the oldest is the one that would be overwritten next
        data = data[next_ - start :] + data[: next_ - start]
    count, capacity = len(data) // record.size, (end - start) // record.size
    written = laps * capacity + (next_ - start) // record.size
    return record.unpacker(*_FIELDS).iter_unpack(data), written - count


@dataclass
class _Names:
    """Turns numbers in records into what they are called; each only once, for there are many."""

    read: Read
    layout: dwarf.Layout
    _guests: dict[int, str] = field(default_factory=dict)
    _told: dict[tuple[int, bytes], tuple[str, str]] = field(default_factory=dict)

    def exit(
        self,
        cpu: int,
        time: int,
        rip: int,
        facts: bytes,
        cycles: int,
        vm: int,
        vcpu: int,
        kind: int,
    ) -> Exit:
        guest = self._guests.get(vm) or self._guest(vm)
        name, what = self._told.get((kind, facts)) or self._tell(kind, facts)
        return Exit(time, cpu, guest, vcpu, name, what, rip, cycles or None)

    def _guest(self, number: int) -> str:
        try:
            address, type_ = self.layout.locate(f"vms[{number}].options.name")
            name = str(type_.decode(self.read(address, type_.size)))
        except RunEnded:
            name = ""
        self._guests[number] = name or f"guest-{number}"
        return self._guests[number]

    def _tell(self, number: int, facts: bytes) -> tuple[str, str]:
        name = self.layout.types["enum vm_exit_kind"].names.get(number, f"kind-{number}")
        kind = name.removeprefix("VM_EXIT_").lower().replace("_", "-")
        if member := _DECODED.get(kind):
            _, type_ = self.layout.types["struct vm_exit"].member(member)
            what = _SAY[member](type_.decode(facts))
        else:
            rax, rcx = (int.from_bytes(facts[at : at + 8], "little") for at in (0, 8))
            what = self._of_registers(kind, rax, rcx)
        self._told[number, facts] = kind, what
        return kind, what

    def _of_registers(self, kind: str, rax: int, rcx: int) -> str:
        low, count = rax & 0xFFFFFFFF, rcx & 0xFFFFFFFF
        if kind == "hypercall":
            name = self.layout.types["enum hypercall"].names.get(rax, f"{rax:#x}")
            return name.removeprefix("HYPERCALL_").lower()
        if kind == "cpuid":
            return f"leaf {low:#x}"
        if kind in ("msr-read", "msr-write"):
            return f"{count:#x}"
        return f"xcr{count}" if kind == "xsetbv" else ""


# Which member of struct vm_exit holds a kind's facts.
_DECODED = {
    "io": "io",
    "memory": "memory",
    "misconfigured": "memory",
    "control-register": "control",
    "exception": "exception",
}


def _io(facts: Mapping[str, Any]) -> str:
    string = " string" if facts["string"] else ""
    return f"{'in' if facts['in'] else 'out'} {facts['port']:#x}{string}"


def _memory(facts: Mapping[str, Any]) -> str:
    access = str(facts["access"]).removeprefix("MEMORY_").lower()
    return f"{access} {facts['address']:#x}" + (" in a page walk" if facts["walking"] else "")


def _control(facts: Mapping[str, Any]) -> str:
    operation = str(facts["operation"]).removeprefix("CONTROL_").lower().replace("_", " ")
    return f"{operation} cr{facts['number']}"


def _exception(facts: Mapping[str, Any]) -> str:
    return f"vector {facts['vector']}"


_SAY: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "io": _io,
    "memory": _memory,
    "control": _control,
    "exception": _exception,
}
