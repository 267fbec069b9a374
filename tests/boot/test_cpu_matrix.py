"""The same guests on seven generations of processors; what each must do follows from what it has.

What a processor has is what its `boot` record says that was measured, and that is asserted too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.engines.base import Module
from harness.pytest_plugin import BootMachine
from harness.records import Record
from tests.boot.guest_images import module


@dataclass(frozen=True)
class Cpu:
    """A Bochs model, and those of its features that guests notice."""

    model: str
    has: frozenset[str]


FIRST = frozenset({"ept", "ept-2m", "vpid", "preemption-timer"})
UNRESTRICTED = FIRST | {"unrestricted-guest"}
MODERN = UNRESTRICTED | {"ept-1g", "ept-accessed-dirty"}

CPUS = [
    Cpu("corei5_lynnfield_750", FIRST),
    Cpu("corei7_ivy_bridge_3770k", UNRESTRICTED),
    Cpu("corei7_haswell_4770", MODERN),
    Cpu("corei7_skylake_x", MODERN | {"pml", "tsc-scaling"}),
    Cpu("corei7_icelake_u", MODERN | {"pml", "tsc-scaling", "monitor-trap-flag"}),
    Cpu("tigerlake", MODERN | {"pml", "tsc-scaling", "monitor-trap-flag"}),
]
NOTICED = frozenset().union(*(cpu.has for cpu in CPUS))

# Not `events`: Bochs 2.7 lets the blocking of NMIs leak from a guest to the next that it enters.
LONG = ("hello", "cpuid", "msr", "events-debug", "control", "nap")


def guests(directory: Path) -> list[Module]:
    return [
        *(module(name, directory) for name in LONG),
        *(module("state", directory, parameter=n, name=f"state-{n}") for n in (1, 2, 0)),
        module("neighbour", directory),
        module("ept-escape", directory),
        module("hostile-protected", directory, parameter="t", mode="protected", memory="2M"),
    ]


def features(boot: Record) -> set[str]:
    return set(boot["virtualization"]["features"])


@pytest.mark.parametrize("cpu", CPUS, ids=lambda cpu: cpu.model)
def test_guests_run_by_what_the_cpu_has(
    boot_machine: BootMachine, tmp_path: Path, cpu: Cpu
) -> None:
    modules = guests(tmp_path)
    machine = boot_machine(modules=modules, engine="bochs", cpu=cpu.model)
    assert features(machine.expect_record("boot")) & NOTICED == cpu.has
    machine.expect_record("done", timeout=25, status="guest-crashed")

    found: dict[str, Any] = {
        r["guest"]: "refused" for r in machine.records if r.kind == "vm-refused"
    }
    found.update({r["guest"]: r["reason"] for r in machine.records if r.kind == "crash"})
    for record in machine.records:
        if record.kind == "report":
            found[record["guest"]] = record["passed"]

    states = {f"state-{n}" for n in (0, 1, 2)}
    expected: dict[str, Any] = dict.fromkeys({*LONG, *states, "neighbour"}, True)
    expected["ept-escape"] = "Memory violation"
    unrestricted = "unrestricted-guest" in cpu.has
    expected["hostile-protected"] = "Task switch" if unrestricted else "refused"
    assert found == expected


def test_without_ept_nothing_runs_and_that_is_said(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["hello"], engine="bochs", cpu="core2_penryn_t9600")
    machine.expect_record("refused", reason="no-ept")
    assert machine.expect_record("done")["code"] == 2
    assert not [record for record in machine.records if record.kind == "vm-start"]
