"""Campaigns of VM entries without a machine: mutations, their safety, comparison, bookkeeping."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.verdict import RunEnded, Verdict
from harness.vmentry import campaign, deviations, good
from harness.vmentry.campaign import Total
from harness.vmentry.capabilities import ARCHITECTURAL
from harness.vmentry.chunk import Plan
from harness.vmentry.compare import Comparer
from harness.vmentry.deviations import Deviation
from harness.vmentry.fields import BY_NAME
from harness.vmentry.minimize import minimize
from harness.vmentry.mutate import Mutation, Mutator
from harness.vmentry.rules import BY_ID, RULES
from harness.vmentry.safety import UNTOUCHED, safe
from harness.vmentry.target import Base, Target
from harness.vmentry.wire import MOST_WRITES, Case, Kind, Outcome, memory_encoding

PAGES = (
    "io-bitmap-a", "io-bitmap-b", "msr-bitmaps", "exit-msr-store", "exit-msr-load",
    "entry-msr-load", "pml", "virtual-apic", "apic-access", "posted-interrupts", "eptp-list",
    "vmread-bitmap", "vmwrite-bitmap", "ve-information", "linked-vmcs", "pdptes",
)  # fmt: skip
ENTERED = Outcome(Kind.ENTERED, 10)
BAD_CONTROLS, BAD_GUEST = Outcome(Kind.FAILED_VALID, 7), Outcome(Kind.REFUSED, 33)


@pytest.fixture(scope="module")
def target() -> Target:
    """A processor that can all that the manual has, with the good VMCSs that the rules have."""
    pages = {name: 0x140000 + 0x1000 * number for number, name in enumerate(PAGES)}
    memory = {address + 8 * word: 0 for address in pages.values() for word in range(512)}
    bases = [Base(i, mode, 0x9000, good.vmcs(mode)) for i, mode in enumerate(good.MODES)]
    return Target(replace(ARCHITECTURAL, physical_width=40), bases, pages, memory, RULES)


def changing(base: int = 0, **values: int) -> Case:
    return Case(base, tuple((BY_NAME[name].encoding, v) for name, v in values.items()))


def some(target: Target, seed: str, count: int = 300) -> list[Mutation]:
    return list(itertools.islice(Mutator(target, random.Random(seed)).some(), count))


# Mutations


def test_the_same_seed_gives_the_same_cases_and_another_seed_others(target: Target) -> None:
    assert some(target, "1 a") == some(target, "1 a")
    assert some(target, "1 a") != some(target, "2 a")


def test_every_edge_is_tried_from_both_sides_where_the_image_can_live_with_it(
    target: Target,
) -> None:
    broken, kept = set(), set()
    for mutation in Mutator(target, random.Random(1)).edges():
        rules = [rule.id for rule in target.broken(mutation.case)]
        broken.update(rules if len(rules) == 1 else [])
        if not rules:
            kept.add(mutation.aim)
    assert len(broken) > 0.75 * len(RULES)
    assert len(kept) > 0.75 * len(RULES)


def test_random_mutations_are_neither_all_good_nor_all_bad(target: Target) -> None:
    broken = sum(bool(target.broken(mutation.case)) for mutation in some(target, "1"))
    assert 60 < broken < 290


def test_no_mutation_is_unsafe_or_too_long_or_of_a_field_that_is_not_there(target: Target) -> None:
    for mutation in some(target, "3", 1000):
        assert safe(target, mutation.case)
        assert 0 < len(mutation.case.writes) <= MOST_WRITES
        for encoding, value in mutation.case.writes:
            field = next(f for f in BY_NAME.values() if f.encoding == encoding)
            assert field.name not in UNTOUCHED
            assert 0 <= value <= field.mask


# What the image can't live with


@pytest.mark.parametrize(
    "case",
    [
        changing(host_rsp=0x5000),
        changing(host_rip=0x5000),
        changing(host_cr3=0x5000),
        changing(ept_pointer=0x20_001E),
        changing(pml_address=0x5000),
        changing(virtual_apic_address=0x5000),
        changing(vm_exit_msr_store_address=0x5000),
        changing(vm_exit_msr_load_count=257),
        changing(vmcs_link_pointer=0x5000),
        changing(guest_cr3=0x5000, secondary_processor_based_controls=0),
        changing(guest_activity_state=3),
        changing(guest_activity_state=1),  # these bases have no timer that would end it
        Case(0, ((memory_encoding(PAGES.index("exit-msr-load"), 0), 0xC0000080),)),
        Case(0, ((memory_encoding(PAGES.index("entry-msr-load"), 0), 0xC0000080),)),
        Case(0, ((memory_encoding(PAGES.index("pdptes"), 0), 0x5001),)),
    ],
)
def test_what_the_image_would_not_survive_is_not_tried(target: Target, case: Case) -> None:
    assert not safe(target, case)


@pytest.mark.parametrize(
    "case",
    [
        changing(host_rip=1 << 63),
        changing(host_cr3=1 << 40),
        changing(ept_pointer=1 << 40 | 0x1E),
        changing(pml_address=8),
        changing(virtual_apic_address=1 << 40),
        changing(vmcs_link_pointer=8),
        changing(vmcs_link_pointer=0x140000 + 0x1000 * PAGES.index("linked-vmcs")),
        changing(host_fs_base=0x1234),
        changing(guest_activity_state=1, pin_based_controls=0x7F),
        Case(0, ((memory_encoding(PAGES.index("entry-msr-load"), 0), 0xC0000100),)),
    ],
)
def test_what_is_surely_refused_or_harmless_is_tried(target: Target, case: Case) -> None:
    assert safe(target, case)


# Comparison


def row(**shows: Any) -> Deviation:
    return Deviation(("bochs",), "Bochs 2.7", "27", "rule", "instead", "known", **shows)


def compare(
    target: Target, case: Case, outcome: Outcome, *rows: Deviation, engine: str = "bochs",
    cpu: str = "i7",
) -> tuple[bool, tuple[str, ...]]:  # fmt: skip
    found = Comparer(target, engine, cpu, rows).compare(case, outcome)
    return found.agrees, found.explained


RFLAGS = changing(guest_rflags=0)


def test_an_outcome_that_the_rules_predict_agrees(target: Target) -> None:
    assert compare(target, RFLAGS, BAD_GUEST) == (True, ())
    assert compare(target, changing(guest_rflags=0x46), ENTERED) == (True, ())


def test_other_outcomes_disagree(target: Target) -> None:
    for outcome in (ENTERED, BAD_CONTROLS, replace(BAD_GUEST, qualification=4)):
        assert compare(target, RFLAGS, outcome) == (False, ())
    for outcome in (Outcome(Kind.HUNG), Outcome(Kind.DIED), Outcome(Kind.FAILED_INVALID)):
        assert compare(target, changing(guest_rflags=0x46), outcome) == (False, ())


def test_an_engine_must_name_a_rule_that_is_broken(target: Target) -> None:
    right = replace(BAD_GUEST, words="VMENTER FAIL: RFLAGS[1] cleared")
    wrong = replace(BAD_GUEST, words="VMENTER FAIL: VMCS guest invalid CR0")
    assert compare(target, RFLAGS, right) == (True, ())
    assert compare(target, RFLAGS, wrong) == (False, ())


def test_a_rule_that_the_engine_omits_explains_that_it_entered(target: Target) -> None:
    known = row(omits=("guest.rflags.one",))
    assert compare(target, RFLAGS, ENTERED, known) == (True, ("known",))
    assert compare(target, RFLAGS, ENTERED, known, engine="qemu-kvm") == (False, ())
    of_another = row(omits=("guest.rflags.one",), cpus=("i9",))
    assert compare(target, RFLAGS, ENTERED, of_another) == (False, ())
    assert compare(target, RFLAGS, ENTERED, of_another, cpu="i9") == (True, ("known",))
    both = changing(guest_rflags=0, guest_cr0=0)
    assert compare(target, both, ENTERED, known) == (False, ())
    assert compare(target, both, BAD_GUEST, known) == (True, ())


def test_another_qualification_is_explained_by_its_row_alone(target: Target) -> None:
    case = changing(vmcs_link_pointer=8)
    assert compare(target, case, BAD_GUEST) == (False, ())
    known = row(qualifies={"guest.link-pointer.aligned": 0})
    assert compare(target, case, BAD_GUEST, known) == (True, ("known",))


def test_what_an_engine_checks_beyond_the_manual_is_known_by_its_words(target: Target) -> None:
    said = replace(BAD_GUEST, words="VMENTER FAIL: too blue")
    assert compare(target, changing(guest_rflags=0x46), said) == (False, ())
    known = row(says="too blue$")
    assert compare(target, changing(guest_rflags=0x46), said, known) == (True, ("known",))


def test_a_case_that_ends_the_engine_is_deadly_unless_it_is_refused_before(target: Target) -> None:
    comparer = Comparer(target, "bochs", "i7", [row(kills=("guest.rflags.one",))])
    assert comparer.deadly(RFLAGS) == "known"
    assert comparer.deadly(changing(guest_rflags=0, guest_cr0=0)) is None
    assert comparer.deadly(changing(guest_rflags=0x46)) is None
    assert comparer.compare(RFLAGS, Outcome(Kind.DIED)).explained == ("known",)


def test_the_table_names_rules_that_there_are_and_each_row_once() -> None:
    rows = deviations.table()
    for one in rows:
        assert {*one.omits, *one.qualifies, *one.kills} <= BY_ID.keys(), one.id
        assert one.omits or one.qualifies or one.kills or one.says, one.id
    assert len({one.id for one in rows}) == len(rows)


def test_the_document_of_deviations_is_made_from_the_table() -> None:
    text = deviations.document_path().read_text(encoding="utf-8")
    assert deviations.updated(text) == text, "run python -m harness.vmentry.deviations"


# Minimizing


def test_a_disagreement_becomes_as_small_as_it_gets(target: Target) -> None:
    bit = 1 << 40
    big = changing(
        guest_cr0=0x80010033 | bit | 0xF << 34, guest_rflags=0x246, host_fs_base=0x1234, guest_dr7=0
    )
    asked = []

    def disagree(cases: Sequence[Case]) -> list[bool]:
        asked.append(len(cases))
        cr0 = BY_NAME["guest_cr0"].encoding
        return [bool(dict(case.writes).get(cr0, 0) & bit) for case in cases]

    assert minimize(target, big, disagree) == changing(guest_cr0=0x80010033 | bit)
    assert len(asked) < 15


# Bookkeeping

PLAN = Plan(1, 30, ("a", "b"), "bochs", "0123", size=10)


def result(cpu: str, number: int) -> dict[str, Any]:
    return {
        "cpu": cpu, "chunk": number, "seconds": 1.0, "cases": 10, "entered": 4, "refused": 6,
        "left_out": 0, "disagreements": 0, "alone": {"guest.rflags.one": 1}, "deviations": {},
        "undecided": {}, "found": [],
    }  # fmt: skip


def test_a_plan_has_all_its_chunks_on_each_cpu_and_survives_its_file() -> None:
    assert len(PLAN.chunks()) == len(set(PLAN.chunks())) == 6
    assert Plan.from_json(json.loads(json.dumps(PLAN.as_json()))) == PLAN


def test_a_stopped_campaign_knows_what_is_done_and_forgets_a_half_written_line(
    tmp_path: Path,
) -> None:
    with campaign.opened(tmp_path, PLAN) as (_, file):
        file.write(json.dumps(result("a", 1)) + "\n" + json.dumps(result("b", 2))[:50])
    with campaign.opened(tmp_path, None) as (total, file):
        assert total.plan == PLAN
        assert set(total.results) == {("a", 1)}
        file.write(json.dumps(result("b", 0)) + "\n")
    with campaign.opened(tmp_path, None) as (total, _):
        assert set(total.results) == {("a", 1), ("b", 0)}
        assert (total.sum("cases"), total.sum("cases", "a")) == (20, 10)
        assert not total.complete


@pytest.mark.parametrize(
    "rubbish", [b"{}\n", b"[]\n", b"\xff\xfe\n", b'{"cpu": "c", "chunk": 0}\n', b"[" * 9999 + b"\n"]
)
def test_rubbish_in_the_results_is_not_taken_for_results(tmp_path: Path, rubbish: bytes) -> None:
    with campaign.opened(tmp_path, PLAN):
        pass
    (tmp_path / campaign.RESULTS).write_bytes(rubbish)
    with campaign.opened(tmp_path, None) as (total, _):
        assert not total.results


@pytest.mark.parametrize("plan", ["", "[]", "{}", '{"seed": 1}', "[" * 9999])
def test_a_broken_plan_is_told(tmp_path: Path, plan: str) -> None:
    (tmp_path / campaign.PLAN).write_text(plan)
    with pytest.raises(RunEnded, match="not a campaign's plan") as ended:
        campaign.opened(tmp_path, None).__enter__()
    assert ended.value.verdict is Verdict.BAD_USAGE


def test_two_processes_can_t_work_on_one_campaign(tmp_path: Path) -> None:
    with (
        campaign.opened(tmp_path, PLAN),
        pytest.raises(RunEnded, match="another process"),
        campaign.opened(tmp_path, None),
    ):
        pass


def test_one_disagreement_that_many_chunks_found_is_told_once(tmp_path: Path) -> None:
    found = {
        "base": "long", "changes": {"guest_rflags": "0x0"}, "processor": "entered",
        "engine_says": "", "rules_say": [{"rule": "guest.rflags.one"}], "times": 3,
    }  # fmt: skip
    total = Total(PLAN, tmp_path)
    for cpu, number in PLAN.chunks():
        total.add({**result(cpu, number), "disagreements": 3, "found": [found]}, fresh=True)
    (one,) = total.disagreements
    assert (one["times"], one["cpus"]) == (18, ["a", "b"])
    (path,) = campaign.save(total)
    assert json.loads(path.read_text())["changes"] == {"guest_rflags": "0x0"}
