"""What a VM exit costs, to the instruction, as a guest sees it (hv/guests/exit-cost.c)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness import trace
from harness.bench.figures import Figure, Say
from harness.bench.machines import COUNTED, EXACT, PATIENCE, Where, guest, machine
from harness.trace import Exit, Trace

_COST = re.compile(r"^exit-cost\| cost of (?P<name>.+): (?P<ticks>0x[0-9a-f]+) ticks\r?$", re.M)
AIMS = {("VT-x", "off", "CPUID"): 110, ("VT-x", "on", "CPUID"): 135}


def measure(say: Say) -> list[Figure]:
    """All exits on each processor, without a trace and with one; RunEnded as machines do."""
    found: list[Figure] = []
    for where in (*EXACT, *([COUNTED] if COUNTED.usable else [])):
        for traced in ("off", "on"):
            say(f"exits on {where.name}, trace {traced}")
            for name, ticks in costs(where, traced).items():
                aim = AIMS.get((where.name, traced, name))
                note = f"aim {aim}" if aim else ""
                found.append(_figure(where, f"trace {traced}: {name}", ticks, note))
        say(f"waking from HLT and switching guests on {where.name}")
        found.append(_figure(where, "trace on: HLT, awake at once", waking(where)))
        found.append(_figure(where, "trace on: timer, to the next guest", switching(where)))
    return found


def _figure(where: Where, name: str, ticks: int, note: str = "") -> Figure:
    return Figure("exits", f"{where.name}, {name}", ticks, "instructions", exact=True, note=note)


def costs(where: Where, traced: str) -> dict[str, int]:
    """Ticks by kind of exit, from the guest's instruction to its next one."""
    with machine(where, [guest("exit-cost", "exit-cost")], words=f"trace={traced}") as running:
        running.expect_record("done", timeout=PATIENCE)
        console = (running.directory / "console.log").read_text(errors="replace")
    return cost_lines(console)


def cost_lines(console: str) -> dict[str, int]:
    """What the guest exit-cost printed."""
    return {m["name"]: int(m["ticks"], 16) for m in _COST.finditer(console)}


def waking(where: Where) -> int:
    """Ticks from a HLT's exit to that of the first instruction of the interrupt's handler."""
    found = _traced(where, ["exit-cost"])
    return _least(
        after.time - before.time for before, after in _pairs(found) if before.kind == "hlt"
    )


def switching(where: Where) -> int:
    """Ticks from the exit that ends a guest's slice to an exit of the next guest, which does
    nothing else.
    """
    found = _traced(where, ["flood", "flood"])
    return _least(
        after.time - before.time
        for before, after in _pairs(found)
        if before.kind == "timer" and before.guest != after.guest
    )


def _pairs(found: Trace) -> Iterable[tuple[Exit, Exit]]:
    return zip(found.exits, found.exits[1:], strict=False)


def _least(ticks: Iterable[int]) -> int:
    return min(ticks)


def _traced(where: Where, guests: list[str]) -> Trace:
    modules = [guest(image, f"{image}-{i}") for i, image in enumerate(guests)]
    with machine(where, modules, words="trace=64K") as running:
        running.wait(PATIENCE)
        return trace.fetch(running.read_physical, running.boot.image)
