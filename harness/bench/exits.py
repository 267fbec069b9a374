"""What a VM exit costs, to the instruction, as a guest sees it (hv/guests/exit-cost.c)."""

from __future__ import annotations

import re
from collections import Counter

from harness.bench import stepping
from harness.bench.figures import Figure, Say
from harness.bench.machines import COUNTED, EXACT, PATIENCE, Where, guest, machine
from harness.verdict import RunEnded, Verdict

_COST = re.compile(r"^exit-cost\| cost of (?P<name>.+): (?P<ticks>0x[0-9a-f]+) ticks\r?$", re.M)
_SETTLED = 2  # the HLT that is looked at: caches and first times are behind it
_ROUND = 3  # exits from one HLT of exit-cost to its next
_SWITCHES = 40  # exits after which guests that only count do nothing but take turns
HLT, TIMER = "HLT, awake at once", "timer, to the next guest"
AIMS = {("VT-x", "off", "CPUID"): 110, ("VT-x", "on", "CPUID"): 135}


def measure(say: Say) -> list[Figure]:
    """All exits on each processor, without a trace and with one; RunEnded as machines do."""
    found: list[Figure] = []
    places = [*EXACT]
    if COUNTED.usable:
        places.append(COUNTED)
    else:
        found.append(Figure("exits", COUNTED.name, None, "instructions", note="needs QEMU"))
    for where in places:
        for traced in ("off", "on"):
            say(f"exits on {where.name}, trace {traced}")
            for name, ticks in costs(where, traced).items():
                aim = AIMS.get((where.name, traced, name))
                note = f"aim {aim}" if aim else ""
                found.append(_figure(where, f"trace {traced}: {name}", ticks, note))
            if where in EXACT:
                say(f"waking from HLT and switching guests on {where.name}, trace {traced}")
                woken, switched = (
                    waking(where, traced).total() + 1,
                    switching(where, traced).total(),
                )
                found += [
                    _figure(where, f"trace {traced}: {HLT}", woken),
                    _figure(where, f"trace {traced}: {TIMER}", switched),
                ]
    return found


def _figure(where: Where, name: str, ticks: int, note: str = "") -> Figure:
    return Figure("exits", f"{where.name}, {name}", ticks, "instructions", exact=True, note=note)


def costs(where: Where, traced: str) -> dict[str, int]:
    """Ticks by kind of exit, from the guest's instruction to its next one."""
    with machine(where, [guest("exit-cost", "exit-cost")], words=f"trace={traced}") as running:
        running.expect_record("done", timeout=PATIENCE, status="ok")
        console = (running.directory / "console.log").read_text(errors="replace")
    return cost_lines(console)


def cost_lines(console: str) -> dict[str, int]:
    """What the guest exit-cost printed."""
    return {m["name"]: int(m["ticks"], 16) for m in _COST.finditer(console)}


def waking(where: Where, traced: str) -> Counter[str]:
    """Instructions from a HLT to the first of the handler of an interrupt that is there already,
    without HLT itself.

    No guest can see that of itself: Bochs's debugger shows it.
    """
    modules = [guest("exit-cost", "exit-cost")]
    numbers = [n for n, one in enumerate(stepping.recorded(where, modules)) if one.kind == "hlt"]
    found = []
    for first in numbers[_SETTLED : _SETTLED + 2]:  # now and then one has a window besides
        for number in range(first + 1, first + 1 + _ROUND):  # windows may exit without a record
            counts = stepping.executed(where, modules, number, traced)
            if counts["handle_hlt"]:
                found.append(counts)
                break
    if not found:
        raise RunEnded(Verdict.FAILED, f"on {where.name} no exit of a HLT was found.")
    return min(found, key=Counter.total)


def switching(where: Where, traced: str) -> Counter[str]:
    """Instructions between those of two guests, the first of which has had its slice."""
    modules = [guest("busy", f"busy-{number}") for number in range(2)]
    return min(
        (
            stepping.executed(where, modules, number, traced)
            for number in (_SWITCHES, _SWITCHES + 1)  # there, and back
        ),
        key=Counter.total,
    )
