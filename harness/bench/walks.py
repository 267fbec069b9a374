"""What nested page tables make of a guest's memory accesses, by the size of their pages.

The kernel hv/guests/memory-walk.S reads memory, a page a read, in the same way bare and as a guest.
Emulators count no ticks for a page walk. So what is compared is the processor time that they take
themselves: for reads that miss the TLB with reads that don't, in short turns, for the same host is
not equally fast a second later. But for the nested tables all machines are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness import paging, project
from harness.bench.figures import Figure, Say
from harness.bench.machines import EXACT, PATIENCE, Where, machine
from harness.engines.base import Module
from harness.hosttime import processor_seconds
from harness.machine import Machine
from harness.verdict import RunEnded, Verdict

PAGES = ("4K", "2M", "1G")
"""The sizes of pages, as the word ``pages=`` of a guest has them."""

ENOUGH = 8.0  # seconds of an emulator's processor time: then two runs give nearly the same
_WAYS = ("far", "near")
_NEAR_READS = 16  # for each far one, as the kernel has them
_GUEST_LEVELS = 4  # of the kernel's own tables
_MEMORY_MIB = 2048  # of each machine: a page of 1 GiB needs a place
_READ = 16 << 20  # an address that the kernel reads: guest-physical


@dataclass(frozen=True)
class Walked:
    """One machine's walks."""

    miss: float  # how much longer a read takes that misses the TLB than one that doesn't
    levels: int  # of nested page tables that lead to the memory; 0: bare


def measure(say: Say) -> list[Figure]:
    """On each processor that can run here; RunEnded as machines do."""
    found: list[Figure] = []
    for where in (*EXACT, Where("AMD-V by QEMU", "qemu-tcg"), Where("nested KVM", "qemu-kvm")):
        if where.usable:
            found += _on(where, say)
    return found


def _on(where: Where, say: Say) -> list[Figure]:
    found = []
    bare = 0.0
    for pages in (None, *PAGES):
        name = f"{where.name}, {f'pages of {pages}' if pages else 'bare'}"
        say(f"a memory walk on {name}")
        one = walked(where, pages)
        bare = bare or one.miss
        reads, slower = entries_read(one.levels), f"{one.miss / bare:.2f} x bare"
        found += [
            Figure("walks", f"{name}: entries read when the TLB misses", reads, "entries", True),
            Figure("walks", f"{name}: a read with a miss", one.miss, "x one without", note=slower),
        ]
    return found


def entries_read(nested_levels: int) -> int:
    """How many entries a walk of two dimensions reads (SDM 3C 29.3.2, APM 2 15.25.5).

    Each entry of the guest's tables is at a guest-physical address, and so is the page in the end:
    all of them are translated by the nested tables.
    """
    return (_GUEST_LEVELS + 1) * (nested_levels + 1) - 1


def walked(where: Where, pages: str | None, enough: float = ENOUGH) -> Walked:
    """What the kernel's walks took; ``pages``: of a guest's memory, None where it runs bare.

    It is looked on until the emulator has had a processor for ``enough`` seconds.
    """
    kernel = project.guest("memory-walk")
    if pages is None:
        boot = machine(where, [], image=kernel, memory_mib=_MEMORY_MIB)
    else:
        words = f"{kernel.name} boot=multiboot memory=1G pages={pages}"
        boot = machine(where, [Module(kernel, words)], memory_mib=_MEMORY_MIB)
    with boot as running:
        levels = 0 if pages is None else _levels(running)
        for way in _WAYS:
            _processor_time(running, way)  # what is said of the first may come late
        taken = dict.fromkeys(_WAYS, 0.0)
        while sum(taken.values()) < enough:
            for way in _WAYS:
                taken[way] += _processor_time(running, way)
    return Walked(taken["far"] / (taken["near"] / _NEAR_READS), levels)


def _processor_time(running: Machine, way: str) -> float:
    """Seconds of the emulator's processor time for one walk that way; RunEnded: nobody counts."""
    running.expect(rf"{way} begins\r?\n", PATIENCE)
    before = processor_seconds(running.running.process.pid)
    if not before:
        raise RunEnded(Verdict.FAILED, "this Linux does not count its threads' time (schedstat).")
    running.expect(rf"{way} took 0x[0-9a-f]+\r?\n", PATIENCE)
    return processor_seconds(running.running.process.pid) - before


def _levels(running: Machine) -> int:
    """How many levels of nested tables lead to what the kernel reads: found in memory."""
    started = running.expect_record("vm-start", timeout=PATIENCE)
    for key, walk in paging.NESTED.items():
        if key in started:
            found = walk(running.read_physical, int(started[key]["root"], 16), _READ)
            assert found.mapped
            return len(found.entries)
    raise ValueError(f"a guest without nested page tables: {started}")
