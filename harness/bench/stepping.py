"""The instructions of one exit, by symbol: Bochs's debugger shows each of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from harness import image, project, trace
from harness.bench.machines import PATIENCE, Where, machine
from harness.engines.base import Module
from harness.engines.bochs_debugged import BochsDebugged
from harness.trace import Exit
from harness.verdict import RunEnded, Verdict

_LINE = re.compile(r"^\(0\)\.\[\d+\] \[0x[0-9a-f]+\] [0-9a-f]+:([0-9a-f]+) \([^)]*\): (\S+)", re.M)
_MOST = 4000  # instructions of one exit
_ENTRIES = ("vmresume", "vmrun")


def executed(
    where: Where, modules: Sequence[Module], exits_before: int, traced: str
) -> Counter[str]:
    """How many instructions each function executes from an exit, told by its number, to the VM
    entry behind it. ``traced``: the boot word trace=. RunEnded FAILED where the debugger shows
    none.
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


def recorded(where: Where, modules: Sequence[Module]) -> Sequence[Exit]:
    """All exits of the same machine, as its trace has them: those that only wait for a moment in
    which an event can be injected are not among them, so the numbers may be a few behind.
    """
    with machine(where, modules, words="trace=64K") as running:
        running.wait(PATIENCE)
        return trace.fetch(running.read_physical, running.boot.image).exits
