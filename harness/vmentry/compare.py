"""The processor's verdict against the rules'."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.vmentry.deviations import Deviation
from harness.vmentry.rule import ENTERED, Findings
from harness.vmentry.rule import Outcome as Answer
from harness.vmentry.source_bochs import rules_of
from harness.vmentry.target import Target
from harness.vmentry.wire import Case, Kind, Outcome

_MOST_ROWS = 5  # of the table, that explain one outcome together


@dataclass(frozen=True)
class Comparison:
    """``explained`` are the rows of the table without which the two would not agree."""

    findings: Findings
    agrees: bool
    explained: tuple[str, ...] = ()


class Comparer:
    """Compares outcomes on one CPU of an engine with the rules."""

    def __init__(self, target: Target, engine: str, cpu: str, rows: Sequence[Deviation]) -> None:
        self._target = target
        ours = [row for row in rows if row.concerns(engine, cpu)]
        self._omits = {rule: row.id for row in ours for rule in row.omits}
        self._qualifies = {
            rule: (row.id, number) for row in ours for rule, number in row.qualifies.items()
        }
        self._kills = {rule: row.id for row in ours for rule in row.kills}
        self._says = [(re.compile(row.says), row.id) for row in ours if row.says]

    def deadly(self, case: Case) -> str | None:
        """The row that says that the engine ends itself at such a case; None if none does."""
        deadly = [rule.id for rule in self._target.broken(case, self._kills)]
        if not deadly:
            return None
        broken = {rule.id for rule in self._target.broken(case)}
        survives = broken - self._kills.keys() - self._omits.keys()  # it refuses before it dies
        return None if survives else self._kills[deadly[0]]

    def compare(self, case: Case, outcome: Outcome) -> Comparison:
        """Does the processor say what the rules say, and name one of the rules that are broken?"""
        findings = self._target.findings(case)
        answer = _answer(outcome)
        broken = {violation.rule.id for violation in findings.violations}
        named = rules_of(outcome.words) if outcome.words else None
        if answer in findings.outcomes and (named is None or broken & set(named)):
            return Comparison(findings, True)
        if outcome.kind is Kind.DIED and broken & self._kills.keys():
            killers = {self._kills[rule] for rule in broken if rule in self._kills}
            return Comparison(findings, True, tuple(sorted(killers)))
        for pattern, row in self._says:
            if pattern.search(outcome.words):
                return Comparison(findings, True, (row,))
        for rows in self._row_sets(broken):
            left = self._deviating(findings, rows)
            rules = {violation.rule.id for violation in left.violations}
            if answer in left.outcomes and (named is None or rules & set(named)):
                return Comparison(findings, True, rows)
        return Comparison(findings, False)

    def _row_sets(self, broken: Iterable[str]) -> Iterator[tuple[str, ...]]:
        """Rows that could apply together, fewest first: a row may hold in some cases alone."""
        rows = {self._omits[rule] for rule in broken if rule in self._omits}
        rows |= {self._qualifies[rule][0] for rule in broken if rule in self._qualifies}
        for size in range(1, min(len(rows), _MOST_ROWS) + 1):
            yield from itertools.combinations(sorted(rows), size)

    def _deviating(self, findings: Findings, rows: Collection[str]) -> Findings:
        """What an engine finds that checks less and numbers differently, as these rows say."""
        left = []
        for violation in findings.violations:
            if self._omits.get(violation.rule.id) in rows:
                continue
            told = self._qualifies.get(violation.rule.id)
            if told is not None and told[0] in rows:
                violation = replace(violation, qualification=told[1])
            left.append(violation)
        return Findings(tuple(left), findings.undecided, findings.kept)


def _answer(outcome: Outcome) -> Answer | None:
    """An outcome as rules predict it; None for what no rule predicts."""
    if outcome.kind is Kind.ENTERED:
        return ENTERED
    if outcome.kind in (Kind.FAILED_VALID, Kind.REFUSED):
        return Answer(*outcome.verdict)
    return None
