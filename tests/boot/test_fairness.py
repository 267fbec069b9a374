"""Every guest gets its share of the processor, whatever its neighbours do.

`busy` counts for one second of emulated time. Bochs repeats to the instruction, so that these are
facts about the scheduler and no measurements.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.engines.base import Module
from harness.pytest_plugin import BootMachine
from tests.boot.guest_images import module
from tests.boot.where import BOCHS_SVM, BOCHS_VMX, Where, on

TOLERANCE = 0.02
SLICE = 4000  # TSC ticks: a millisecond at Bochs's four million instructions a second
# Ticks, more than a switch from guest to guest takes. Bochs's AMD-V needs a timer by three ports.
SWITCH = {BOCHS_VMX: 500, BOCHS_SVM: 700}
LONG_NAP = 4_500_000  # ticks: one of them outlasts `busy`


def busy(*names: str) -> list[Module]:
    return [module("busy", Path(), name=name) for name in names]


def values(
    boot_machine: BootMachine, modules: list[Module], where: Where = BOCHS_VMX
) -> dict[str, int]:
    """What each guest reports, by its name."""
    machine = boot_machine(
        modules=modules, engine=where.engine, cpu=where.cpu, requires=("virtualization",)
    )
    with machine.allow("panic"):  # the hostile console prints what looks like one
        machine.expect_record("done", status="ok")
    reports = [record for record in machine.records if record.kind == "report"]
    assert all(record["passed"] for record in reports)
    return {record["guest"]: int(record["value"], 16) for record in reports}


@on(BOCHS_VMX, BOCHS_SVM)
def test_three_busy_guests_get_equal_shares(boot_machine: BootMachine, where: Where) -> None:
    alone = values(boot_machine, busy("a"), where)["a"]
    counts = values(boot_machine, busy("a", "b", "c"), where)
    for count in counts.values():
        assert count == pytest.approx(sum(counts.values()) / 3, rel=TOLERANCE)
    # Nor does switching cost much of what there is.
    assert sum(counts.values()) > alone * (1 - SWITCH[where] / SLICE)


@pytest.mark.parametrize(
    ("noisy", "where"),
    [("flood", BOCHS_VMX), ("flood", BOCHS_SVM), ("hostile-console", BOCHS_VMX)],
)
def test_a_guest_that_floods_exits_pays_for_them_itself(
    boot_machine: BootMachine, tmp_path: Path, noisy: str, where: Where
) -> None:
    fair = values(boot_machine, busy("a", "b", "c"), where)
    beside = values(boot_machine, [*busy("a", "b"), module(noisy, tmp_path)], where)
    assert beside["a"] >= fair["a"] * (1 - TOLERANCE)
    assert beside["b"] >= fair["b"] * (1 - TOLERANCE)


def test_a_large_guest_that_ends_holds_nobody_up(boot_machine: BootMachine) -> None:
    """Its memory is zeroed in slices of its own; that takes longer than `busy` counts."""
    two = values(boot_machine, busy("a", "b"))
    beside = values(boot_machine, [*busy("a"), module("hello", Path(), memory="64M")])
    assert beside["a"] == pytest.approx(two["a"], rel=TOLERANCE)


def test_a_guest_in_hlt_gives_its_time_away(boot_machine: BootMachine, tmp_path: Path) -> None:
    two = values(boot_machine, busy("a", "b"))
    beside = values(boot_machine, [*busy("a", "b"), module("nap", tmp_path, parameter=LONG_NAP)])
    assert two["a"] == pytest.approx(two["b"], rel=TOLERANCE)
    # Looking whether the sleeper must be woken costs at each switch, of which there are 1000.
    assert beside["a"] == pytest.approx(two["a"], rel=0.03)
    assert beside["b"] == pytest.approx(two["b"], rel=0.03)


@on(BOCHS_VMX, BOCHS_SVM)
def test_a_sleeping_guest_is_woken_in_time_while_others_work(
    boot_machine: BootMachine, where: Where
) -> None:
    alone = values(boot_machine, [module("nap", Path())], where)["nap"]
    assert alone < SLICE / 3
    late = values(boot_machine, [*busy("a", "b"), module("nap", Path())], where)["nap"]
    assert late < 2 * (SLICE + SWITCH[where])


def test_guests_that_all_sleep_are_all_woken_and_work_on(boot_machine: BootMachine) -> None:
    """Whoever is woken first runs on, and must not be forgotten when the next one's time comes."""
    sleepers = [module("nap", Path(), name=name) for name in ("a", "b", "c")]
    assert len(values(boot_machine, sleepers)) == 3
