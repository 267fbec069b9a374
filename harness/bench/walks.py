"""What nested page tables make of a guest's memory accesses, by the size of their pages.

The kernel hv/guests/memory-walk.S reads memory, a page a read, in the same way bare and as a guest.
Emulators count no ticks for a page walk. So what is compared is the processor time that they take
themselves: for reads that miss the TLB with reads that don't, one right after the other, for the
same host is not equally fast a minute later.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from harness import paging, project
from harness.bench.figures import Figure, Say
from harness.bench.machines import EXACT, PATIENCE, Where, machine
from harness.engines.base import Module
from harness.hosttime import processor_seconds
from harness.machine import Machine

PAGES: Mapping[str, int] = {"4K": 4 << 10, "2M": 2 << 20, "1G": 1 << 30}
"""The sizes of pages, as the word ``pages=`` of a guest has them, in bytes."""

TIMES = 4  # that the kernel walks each way; what is said of the first may come late
_WAYS = ("far", "near")
_NEAR_READS = 4  # for each far one
_GUEST_LEVELS = 4  # of the kernel's own tables
_MEMORY_MIB, _LARGE_MEMORY_MIB = 384, 2048  # of the machine; a page of 1 GiB needs a place
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


def walked(where: Where, pages: str | None) -> Walked:
    """What the kernel's walks took; ``pages``: of a guest's memory, None where it runs bare."""
    kernel = project.guest("memory-walk")
    if pages is None:
        boot = machine(where, [], image=kernel, memory_mib=_MEMORY_MIB)
    else:
        large = PAGES[pages] > _MEMORY_MIB << 20
        memory = "1G" if large else "288M"
        words = f"{kernel.name} boot=multiboot memory={memory} pages={pages}"
        size = _LARGE_MEMORY_MIB if large else _MEMORY_MIB
        boot = machine(where, [Module(kernel, words)], memory_mib=size)
    with boot as running:
        levels = 0 if pages is None else _levels(running)
        misses = []
        for _ in range(TIMES):
            seconds = []
            for way in _WAYS:
                running.expect(rf"{way} begins\r?\n", PATIENCE)
                before = processor_seconds(running.running.process.pid)
                running.expect(rf"{way} took 0x[0-9a-f]+\r?\n", PATIENCE)
                seconds.append(processor_seconds(running.running.process.pid) - before)
            far, near = seconds
            misses.append(far / (near / _NEAR_READS))
    return Walked(statistics.median(misses[1:]), levels)


def _levels(running: Machine) -> int:
    """How many levels of nested tables lead to what the kernel reads: found in memory."""
    started = running.expect_record("vm-start", timeout=PATIENCE)
    for key, walk in paging.NESTED.items():
        if key in started:
            found = walk(running.read_physical, int(started[key]["root"], 16), _READ)
            assert found.mapped
            return len(found.entries)
    raise ValueError(f"a guest without nested page tables: {started}")
