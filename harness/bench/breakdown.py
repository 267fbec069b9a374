"""Where the instructions of one exit go, by symbol: Bochs's debugger shows each of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from harness import image, project
from harness.bench.figures import Figure, Say
from harness.bench.machines import EXACT, Where, guest, machine
from harness.engines.base import Module
from harness.engines.bochs_debugged import BochsDebugged
from harness.verdict import RunEnded, Verdict

_LINE = re.compile(r"^\(0\)\.\[\d+\] \[0x[0-9a-f]+\] [0-9a-f]+:([0-9a-f]+) \([^)]*\): (\S+)", re.M)
_EXITS_BEFORE = 12  # the guest times its first CPUIDs by then; none of them sets the timer anew
_MOST = 4000  # instructions of one exit
_ENTRIES = ("vmresume", "vmrun")


def measure(say: Say) -> list[Figure]:
    """The instructions of a CPUID's exit by function; RunEnded where the debugger shows none."""
    found = []
    for where in EXACT:
        say(f"the instructions of a CPUID on {where.name}")
        for name, count in by_symbol(where).most_common():
            name = f"{where.name}, CPUID: {name}"
            found.append(Figure("breakdown", name, count, "instructions", exact=True))
    return found


def by_symbol(where: Where) -> Counter[str]:
    """How many instructions each function executes from a CPUID's exit to the VM entry."""
    return executed(where, [guest("exit-cost", "exit-cost")], _EXITS_BEFORE, "off")


def executed(
    where: Where, modules: Sequence[Module], exits_before: int, traced: str
) -> Counter[str]:
    """The same of any exit of any guests, by its number; ``traced``: the boot word trace=.

    RunEnded FAILED where the debugger shows none.
    """
    with machine(where, modules, words=f"trace={traced}", stopped=True) as started:
        running = started.running
        assert isinstance(running, BochsDebugged)
        text = running.trace_after_exits(exits_before, _MOST)
    symbols = image.symbols(project.image())
    counts: Counter[str] = Counter()
    for address, mnemonic in _LINE.findall(text):
        name = symbols.symbolize(int(address, 16)) or "?"
        counts[name.partition("+")[0]] += 1
        if mnemonic in _ENTRIES:
            return counts
    raise RunEnded(Verdict.FAILED, "Bochs's debugger showed no exit from its start to its end.")
