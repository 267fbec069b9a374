"""Where the instructions of each kind of exit go, by function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from harness.bench import exits, stepping
from harness.bench.figures import Figure, Say
from harness.bench.machines import EXACT, Where, guest
from harness.verdict import RunEnded, Verdict

KINDS = {
    "CPUID": ("cpuid", 0),
    "CPUID, leaf 1": ("cpuid", 1),
    "VMCALL": ("hypercall", 0),
    "OUT, absent port": ("io", 0),
    "OUT, device": ("io", 1),
    "IN, device": ("io", 2),
    "RDMSR": ("msr-read", 0),
    "WRMSR": ("msr-write", 0),
    "MMIO write": ("memory", 0),
    "MMIO read": ("memory", 1),
}
"""By the names that the guest exit-cost has for them: their kind in a trace, and which row of that
kind it is there."""

_SAMPLES = 64  # exits a row, in hv/guests/exit-cost.c
_LOOKED_AT = range(30, 36)  # of them: one costs what the guest says, unless something is due


def measure(say: Say) -> list[Figure]:
    """The instructions of each kind of exit by function; RunEnded where the debugger shows none."""
    found = []
    for where in EXACT:
        say(f"the instructions of each kind of exit on {where.name}")
        for kind, counts in by_function(where, KINDS):
            found += [_figure(where, kind, *one) for one in counts.most_common()]
        for kind, counts in (
            (exits.HLT, exits.waking(where, "off")),
            (exits.TIMER, exits.switching(where, "off")),
        ):
            found += [_figure(where, kind, *one) for one in counts.most_common()]
    return found


def _figure(where: Where, kind: str, function: str, count: int) -> Figure:
    name = f"{where.name}, {kind}: {function}"
    return Figure("breakdown", name, count, "instructions", exact=True)


def by_function(where: Where, kinds: Iterable[str]) -> Iterator[tuple[str, Counter[str]]]:
    """For each of these kinds, how many instructions each function executes from the exit to the VM
    entry: together with the guest's own instruction, what it costs the guest.
    """
    modules = [guest("exit-cost", "exit-cost")]
    recorded = stepping.recorded(where, modules)
    costs = exits.costs(where, "off")
    for name in kinds:
        kind, row = KINDS[name]
        numbers = [number for number, one in enumerate(recorded) if one.kind == kind]
        for sample in _LOOKED_AT:
            counts = stepping.executed(where, modules, numbers[row * _SAMPLES + sample], "off")
            if counts.total() + 1 == costs[name]:
                yield name, counts
                break
        else:
            raise RunEnded(Verdict.FAILED, f"on {where.name} no exit costs what a {name} does.")
