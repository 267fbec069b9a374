"""Exits cost no more instructions than tests/budgets.toml grants; the bench says where they go."""

from __future__ import annotations

import json

import pytest

from harness import bench
from harness.bench import breakdown, budgets, exits, walks
from harness.bench.machines import COUNTED, EXACT, Where
from harness.verdict import RunEnded
from tests.conftest import Hv

pytestmark = pytest.mark.usefixtures("bochs_here")

PLACES = pytest.mark.parametrize("where", [pytest.param(one, id=one.name) for one in EXACT])
ENTRY_AND_EXIT = 36  # instructions of assembly, there and back: of NOVA's; Jailhouse has 35


def test_no_exit_costs_more_than_its_budget() -> None:
    figures = bench.measure("exits", lambda _: None)
    assert len([one for one in figures if one.value]) == 26 * 2 + 22 * COUNTED.usable
    assert not budgets.passed(figures, budgets.read())
    assert not budgets.unmeasured(figures, budgets.read(), ["exits"])


@PLACES
def test_the_instructions_of_an_exit_by_function_are_what_its_guest_waits_for(where: Where) -> None:
    costs = exits.costs(where, "off")
    for kind, counts in breakdown.by_function(where, ("CPUID", "MMIO write")):
        assert counts.total() == costs[kind] - 1  # the instruction itself is the guest's
        assert counts["handle_cpuid" if kind == "CPUID" else "handle_memory"]


def test_the_assembly_of_an_exit_is_as_short_as_the_best_known() -> None:
    ((_, counts),) = breakdown.by_function(EXACT[0], ["CPUID"])
    assert counts["vmx_exit_entry"] <= ENTRY_AND_EXIT


@pytest.mark.usefixtures("qemu_here")
def test_a_memory_walk_misses_the_tlb_as_a_guest_and_bare() -> None:
    for pages, levels in ((None, 0), ("2M", 3)):
        one = walks.walked(Where("QEMU", "qemu-tcg"), pages, enough=1)
        assert one.levels == levels
        assert one.miss > 2  # at some 100


@pytest.mark.usefixtures("qemu_here")
def test_without_a_count_of_its_time_an_emulator_is_not_measured_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(walks, "processor_seconds", lambda _: 0.0)
    with pytest.raises(RunEnded, match="does not count"):
        walks.walked(Where("QEMU", "qemu-tcg"), None)


def test_a_check_that_fails_names_figure_value_and_budget(hv: Hv) -> None:
    text = budgets.path().read_text(encoding="utf-8")
    budget = '"VT-x, trace off: CPUID" = 110'
    assert budget in text
    tests = hv.root / "tests"
    tests.mkdir(exist_ok=True)
    (tests / "budgets.toml").write_text(text.replace(budget, budget.replace("110", "109")))
    done = hv("bench", "exits", "--check", "--json")
    assert done.returncode == 1, done.stderr
    (complaint,) = done.stderr.splitlines()
    sentence = "exits: VT-x, trace off: CPUID is 110 instructions, over its budget of 109."
    assert complaint == sentence
    assert {row["unit"] for row in json.loads(done.stdout)} == {"instructions"}
