"""Each rule of VM entry is broken alone by one mutation, and kept by the nearest that keeps it."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest

from harness.vmentry import ARCHITECTURAL, examine, good
from harness.vmentry.case import Case, both, mutated
from harness.vmentry.cases import all_cases
from harness.vmentry.controls import ACTIVATED_BY
from harness.vmentry.fields import BY_NAME
from harness.vmentry.rule import ENTERED, Findings, Rule
from harness.vmentry.rules import BY_ID, RULES
from harness.vmentry.state import State, Unknown

CASES = all_cases()


def broken(found: Findings) -> set[str]:
    return {violation.rule.id for violation in found.violations}


def findings(case: Case, *, bad: bool) -> Findings:
    changes = both(case.given, case.breaks if bad else case.keeps)
    vmcs = mutated(good.vmcs(case.base), changes)
    return examine(vmcs, case.on(ARCHITECTURAL), case.bad_memory if bad else case.memory)


@pytest.mark.parametrize("mode", good.MODES)
def test_a_good_vmcs_breaks_no_rule(mode: str) -> None:
    found = examine(good.vmcs(mode), replace(ARCHITECTURAL, current_vmcs=0x9000))
    assert not [violation.sentence for violation in found.violations]
    assert not found.undecided
    assert found.kept == len(RULES)
    assert found.outcomes == {ENTERED}


def test_every_rule_has_one_case() -> None:
    ids = [case.rule for case in CASES]
    assert sorted(ids) == sorted(BY_ID)


def test_no_two_rules_have_the_same_name() -> None:
    assert len(BY_ID) == len(RULES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_what_breaks_a_rule_breaks_it_alone(case: Case) -> None:
    found = findings(case, bad=True)
    assert broken(found) == {case.rule} | case.also, [v.sentence for v in found.violations]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_the_nearest_that_keeps_a_rule_keeps_all(case: Case) -> None:
    found = findings(case, bad=False)
    assert not [violation.sentence for violation in found.violations]
    assert case.rule not in {undecided.rule.id for undecided in found.undecided}


class Recorder(State):
    """A state that notes which fields are looked at."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.seen: set[str] = set()

    def read(self, name: str) -> int:
        value = super().read(name)
        self.seen.add(name)
        return value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_rule_looks_only_at_the_fields_that_it_names(case: Case) -> None:
    rule = BY_ID[case.rule]
    named = set(rule.fields)
    while more := {ACTIVATED_BY[word].field for word in named & set(ACTIVATED_BY)} - named:
        named |= more
    for mode in good.MODES:
        for bad in (True, False):
            changes = both(case.given, case.breaks if bad else case.keeps)
            memory = case.bad_memory if bad else case.memory
            v = Recorder(mutated(good.vmcs(mode), changes), case.on(ARCHITECTURAL), memory)
            with contextlib.suppress(Unknown):
                rule.kept(v)
            assert v.seen <= named


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_names_fields_that_there_are(rule: Rule) -> None:
    assert set(rule.fields) <= set(BY_NAME)
    assert rule.reads


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_the_sentence_has_the_values(case: Case) -> None:
    found = findings(case, bad=True)
    violation = next(v for v in found.violations if v.rule.id == case.rule)
    vmcs = mutated(good.vmcs(case.base), both(case.given, case.breaks))
    for name in violation.rule.reads:
        assert f"{BY_NAME[name].title} = {vmcs[name]:#x}" in violation.sentence
    assert "\n" not in violation.sentence
