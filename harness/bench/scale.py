"""Many guests in one hypervisor: their boot, shares and memory, an exit's cost among them."""

from __future__ import annotations

import re

from harness.bench.exits import cost_lines
from harness.bench.figures import Figure, Say
from harness.bench.machines import EXACT, PATIENCE, guest, machine

_START = re.compile(r"^\[ *(\d+\.\d+)\] vm: \S+ starts: ", re.M)  # the machine's own seconds

COUNTS = (2, 8, 32, 128)
_MEMORY_MIB = 2  # of a guest
_WHERE = EXACT[0]
_BESIDES = 64  # MiB, for the hypervisor


def measure(say: Say) -> list[Figure]:
    """Exact figures: on Bochs. RunEnded as machines do."""
    found: list[Figure] = []
    for count in COUNTS:
        say(f"{count} guests at once")
        found += _with(count)
    return found


def _with(count: int) -> list[Figure]:
    """One measures its exits while the others count, each for the same time of its own."""
    modules = [guest("exit-cost", "exit-cost", f"memory={_MEMORY_MIB}M")]
    modules += [
        guest("busy", f"busy-{number}", f"memory={_MEMORY_MIB}M") for number in range(count - 1)
    ]
    memory = _BESIDES + count * (_MEMORY_MIB + 1)
    with machine(_WHERE, modules, words="trace=off", memory_mib=memory) as running:
        for _ in range(count):
            running.expect_record("vm-start", timeout=PATIENCE)
        running.expect_record("done", timeout=PATIENCE)
        records = list(running.records)
        console = (running.directory / "console.log").read_text(errors="replace")
    stops = [r for r in records if r.kind == "vm-stop" and r["guest"] != "exit-cost"]
    ticks = [r["ticks"] for r in stops]
    cost = cost_lines(console)["CPUID"]
    free = [r["free"] for r in records if r.kind == "vm-start"]  # bytes, fewer from start to start
    taken = (free[0] - free[-1]) / (count - 1) - (_MEMORY_MIB << 20)

    def exact(name: str, value: float, unit: str) -> Figure:
        return Figure("scale", f"{count} guests: {name}", value, unit, exact=True)

    found = [
        exact("boot, until the last guest has started", float(_START.findall(console)[-1]), "s"),
        exact("CPUID", cost, "instructions"),
        exact("memory that each takes beyond its own", taken / 1024, "KiB"),
    ]
    if len(ticks) > 1:
        fairness = max(ticks) / min(ticks)
        found.append(exact("longest life of a guest by the shortest, same work", fairness, "x"))
    return found
