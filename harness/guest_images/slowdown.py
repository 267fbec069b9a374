"""What the hypervisor costs a real system: the same kernel on the bare machine and as a guest.

``python -m harness.guest_images.slowdown linux`` boots the first guest of a scenario both ways, on
one engine. A tick is one of the time-stamp counter: on Bochs an instruction, on QEMU a fraction of
the host's time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.guest_images import bare
from harness.scenario import Scenario
from harness.verdict import RunEnded, Verdict

WITHIN = 300.0  # seconds, for either
FIGURES = {
    "user space": r"in user space at tick (\w+)",
    "sum": r"(?:SHA-256|CRC-32) [0-9a-f]+ took (\w+) ticks",
    "processes": r"processes took (\w+) ticks",
}
"""What our first programs print, in ticks."""
LAST_WORDS = r"init: turning off|task: done"


def figures(text: str) -> dict[str, int]:
    """The ticks that a system's first program printed, by the names in `FIGURES`."""
    found = {name: re.search(pattern, text) for name, pattern in FIGURES.items()}
    return {name: int(match[1], 0) for name, match in found.items() if match}


def on_bare_machine(scenario: Scenario, engine: str, cpu: str | None) -> dict[str, Any]:
    """Boot the first guest's system without the hypervisor; its figures, and seconds."""
    from harness import choose
    from harness.machine import Machine

    chosen = choose.choose((), (), engine, cpu).engine
    # As a guest Linux measures its clock. Here it would believe the processor's name.
    words = f"tsc_early_khz={(scenario.mips or 4) * 1000}" if chosen.name == "bochs" else ""
    text = bytearray()
    with tempfile.TemporaryDirectory(prefix="vanderpool-bare-") as name:
        boot = bare.boot(scenario.guests[0], Path(name), words)
        boot = dataclasses.replace(
            boot,
            cpu_model=cpu,
            mips=scenario.mips,
            # With qboot the local APIC lets none of the 8259's interrupts through.
            firmware="seabios" if "seabios" in chosen.control else None,
            freezes=False,
        )
        started = time.monotonic()
        with Machine.start(
            chosen, boot, Path(name) / "run", on_console=text.extend, limit=WITHIN
        ) as machine:
            machine.forbidden.clear()  # they are our hypervisor's words
            machine.expect(FIGURES["user space"] + r"\D", WITHIN)
            seconds = time.monotonic() - started
            machine.expect(LAST_WORDS, WITHIN)
    return {**figures(text.decode("utf-8", "replace")), "seconds to user space": seconds}


def as_guest(scenario: Scenario, engine: str, cpu: str | None) -> dict[str, Any]:
    """Run the scenario; the figures of its first guest, its exits, and the seconds that it took."""
    from harness import runner

    outcome = runner.run(scenario, engine=engine, cpu=cpu, timeout=WITHIN)
    if outcome.verdict is not Verdict.PASSED or outcome.directory is None:
        raise RunEnded(outcome.verdict, outcome.sentence, evidence=outcome.evidence)
    name = scenario.guests[0].name
    lines = (outcome.directory / "console.log").read_text(encoding="utf-8", errors="replace")
    own = "\n".join(line for line in lines.splitlines() if line.startswith(f"{name}| "))
    stops = [r for r in outcome.records if r["kind"] == "vm-stop" and r["guest"] == name]
    exits: Mapping[str, int] = stops[-1]["exits"] if stops else {}
    return {
        **figures(own),
        "exits": sum(exits.values()),
        "exits by reason": dict(exits),
        "seconds in all": outcome.seconds,
        "ticks in all": outcome.tick,
    }


def compare(scenario: Scenario, engine: str, cpu: str | None) -> dict[str, Any]:
    """Both, and their ratios. RunEnded if either does not come to its end."""
    alone = on_bare_machine(scenario, engine, cpu)
    guest = as_guest(scenario, engine, cpu)
    ratios = {
        name: guest[name] / alone[name] for name in FIGURES if name in alone and name in guest
    }
    return {
        "scenario": scenario.name,
        "engine": engine,
        "cpu": cpu,
        "bare": alone,
        "guest": guest,
        "ratio": ratios,
    }


def main(arguments: list[str] | None = None) -> int:
    """Compare, and print it as JSON; the exit code is the verdict's."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.guest_images.slowdown",
        description="Boot a scenario's first guest bare and under the hypervisor; print JSON.",
    )
    parser.add_argument("scenario", nargs="?", default="linux")
    parser.add_argument("--engine", default="bochs", choices=("bochs", "qemu-tcg"))
    parser.add_argument("--cpu", help="the engine's name of a processor")
    options = parser.parse_args(arguments)
    try:
        from harness import scenario

        found = scenario.find(options.scenario)
        print(json.dumps(compare(found, options.engine, options.cpu), indent=1))
    except RunEnded as ended:
        print(f"slowdown: {ended.sentence}", file=sys.stderr)
        return ended.verdict.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
