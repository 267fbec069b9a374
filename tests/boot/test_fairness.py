"""Every guest gets its share of the processor, whatever its neighbours do.

A guest's time is its own, so that it can't see what share it has: the hypervisor tells, by how many
ticks of the processor have passed when the guest is done with a fixed amount of its own. Bochs
repeats to the instruction, so that these are facts about the scheduler and no measurements.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.engines.base import Module
from harness.engines.bochs import Bochs
from harness.pytest_plugin import BootMachine
from tests.boot.guest_images import module
from tests.boot.where import BOCHS_SVM, BOCHS_VMX, Where, on

TOLERANCE = 0.02
SLICE = 4000  # TSC ticks: a millisecond at Bochs's four million instructions a second
# Ticks, more than a switch from guest to guest takes. Bochs's AMD-V needs a timer by three ports.
SWITCH = {BOCHS_VMX: 500, BOCHS_SVM: 700}
LONG_NAP = 9_500_000  # ticks: one of them outlasts two of `busy`
NAPS, NAP, NAP_WORK = 10, 100_000, 30_000  # what `nap` does by default


def busy(*names: str) -> list[Module]:
    return [module("busy", Path(), name=name) for name in names]


def records(
    boot_machine: BootMachine, modules: list[Module], where: Where, kind: str, key: str
) -> dict[str, int]:
    """What records of this kind say under ``key``, by the guest's name; all reports are good."""
    machine = boot_machine(
        modules=modules, engine=where.engine, cpu=where.cpu, requires=("virtualization",)
    )
    with machine.allow("panic"):  # the hostile console prints what looks like one
        machine.expect_record("done", status="ok")
    assert all(record["passed"] for record in machine.records if record.kind == "report")
    return {
        record["guest"]: int(str(record[key]), 0)
        for record in machine.records
        if record.kind == kind
    }


def ticks(
    boot_machine: BootMachine, modules: list[Module], where: Where = BOCHS_VMX
) -> dict[str, int]:
    """How many ticks of the processor had passed when each guest had ended."""
    return records(boot_machine, modules, where, "vm-stop", "ticks")


@on(BOCHS_VMX, BOCHS_SVM)
def test_three_busy_guests_get_equal_shares(boot_machine: BootMachine, where: Where) -> None:
    alone = ticks(boot_machine, busy("a"), where)["a"]
    three = ticks(boot_machine, busy("a", "b", "c"), where)
    for one in three.values():
        assert one == pytest.approx(sum(three.values()) / 3, rel=TOLERANCE)
    # Nor does switching cost much of what there is.
    assert max(three.values()) < 3 * alone / (1 - SWITCH[where] / SLICE)


@on(BOCHS_VMX, BOCHS_SVM)
def test_a_guest_gets_as_much_done_in_a_second_of_its_own_as_it_does_alone(
    boot_machine: BootMachine, where: Where
) -> None:
    alone = records(boot_machine, busy("a"), where, "report", "value")["a"]
    for count in records(boot_machine, busy("a", "b", "c"), where, "report", "value").values():
        # Both ends of its turn are on its bill, of which there is hardly one where it is alone.
        assert alone * (1 - 2 * SWITCH[where] / SLICE) < count <= alone


@pytest.mark.parametrize(
    ("noisy", "where"),
    [("flood", BOCHS_VMX), ("flood", BOCHS_SVM), ("hostile-console", BOCHS_VMX)],
)
def test_a_guest_that_floods_exits_pays_for_them_itself(
    boot_machine: BootMachine, tmp_path: Path, noisy: str, where: Where
) -> None:
    fair = ticks(boot_machine, busy("a", "b", "c"), where)
    beside = ticks(boot_machine, [*busy("a", "b"), module(noisy, tmp_path)], where)
    assert beside["a"] <= fair["a"] * (1 + TOLERANCE)
    assert beside["b"] <= fair["b"] * (1 + TOLERANCE)


def test_a_large_guest_that_ends_holds_nobody_up(boot_machine: BootMachine) -> None:
    """Its memory is zeroed in slices of its own, of which there are no more than of the other's."""
    two = ticks(boot_machine, busy("a", "b"))
    beside = ticks(boot_machine, [*busy("a"), module("hello", Path(), memory="64M")])
    assert beside["a"] <= two["a"] * (1 + TOLERANCE)


def test_a_guest_in_hlt_gives_its_time_away(boot_machine: BootMachine, tmp_path: Path) -> None:
    two = ticks(boot_machine, busy("a", "b"))
    beside = ticks(boot_machine, [*busy("a", "b"), module("nap", tmp_path, parameter=LONG_NAP)])
    assert two["a"] == pytest.approx(two["b"], rel=TOLERANCE)
    # Looking whether the sleeper must be woken costs at each switch, of which there are 2000.
    assert beside["a"] == pytest.approx(two["a"], rel=0.03)
    assert beside["b"] == pytest.approx(two["b"], rel=0.03)


@on(BOCHS_VMX, BOCHS_SVM)
def test_a_sleeping_guest_is_woken_in_time_while_others_work(
    boot_machine: BootMachine, where: Where
) -> None:
    alone = records(boot_machine, [module("nap", Path())], where, "report", "value")["nap"]
    assert alone < SLICE / 3
    modules = [*busy("a", "b"), module("nap", Path())]
    beside = ticks(boot_machine, modules, where)["nap"]
    # Behind each nap, and between the slices of its work, each of the others has a turn.
    turns = 1 + -(-NAP_WORK // (SLICE - SWITCH[where]))
    assert beside < NAPS * (NAP + NAP_WORK + turns * 2 * (SLICE + SWITCH[where]))


@on(BOCHS_VMX, BOCHS_SVM)
def test_a_guest_that_could_run_is_not_late_by_its_own_time(
    boot_machine: BootMachine, where: Where
) -> None:
    modules = [*busy("a", "b"), module("nap", Path())]
    assert records(boot_machine, modules, where, "report", "value")["nap"] < SLICE / 3


@pytest.mark.parametrize(("rate", "mips"), [(100, 4), (1000, 20)])
@on(BOCHS_VMX, BOCHS_SVM)
def test_no_tick_of_the_8254_is_lost_or_bunched_beside_busy_and_hostile_guests(
    boot_machine: BootMachine, tmp_path: Path, where: Where, rate: int, mips: int
) -> None:
    """`ticks` counts them against its own TSC, at work and in HLT."""
    modules = [
        module("ticks", tmp_path, parameter=rate),
        *busy("a"),
        module("flood", tmp_path),
        module("hostile-console", tmp_path),
    ]
    machine = boot_machine(modules=modules, engine=Bochs(ips=mips * 1_000_000), cpu=where.cpu)
    with machine.allow("panic"):
        report = machine.expect_record("report", guest="ticks", passed=True)
    assert int(str(report["value"]), 0) < mips * 1000 / 2  # half a slice


def test_guests_that_all_sleep_are_all_woken_and_work_on(boot_machine: BootMachine) -> None:
    """Whoever is woken first runs on, and must not be forgotten when the next one's time comes."""
    sleepers = [module("nap", Path(), name=name) for name in ("a", "b", "c")]
    assert len(records(boot_machine, sleepers, BOCHS_VMX, "report", "value")) == 3
