"""The processor's verdict against the rules', and the table of engines' known deviations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from harness.vmentry.rule import ENTERED, Findings
from harness.vmentry.rule import Outcome as Answer
from harness.vmentry.source_bochs import rules_of
from harness.vmentry.target import Target
from harness.vmentry.wire import Case, Kind, Outcome

TABLE = Path(__file__).with_name("deviations.toml")


@dataclass(frozen=True)
class Deviation:
    """A row of the table (deviations.toml): where an engine does something else than the manual.

    ``manual`` is the manual's sentence with its section; the table says what the others are.
    """

    id: str
    engine: str
    what: str
    manual: str
    omits: tuple[str, ...] = ()
    qualifies: Mapping[str, int] = field(default_factory=dict, hash=False)
    kills: tuple[str, ...] = ()
    adds: str = ""
    example: Mapping[str, str | int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Comparison:
    """``explained`` are the rows of the table without which the two would not agree."""

    findings: Findings
    agrees: bool
    explained: tuple[str, ...] = ()


@cache
def table() -> tuple[Deviation, ...]:
    """All rows."""
    import tomllib

    rows: list[dict[str, Any]] = tomllib.loads(TABLE.read_text(encoding="utf-8"))["deviation"]
    return tuple(
        Deviation(
            row["id"], row["engine"], row["what"], row["manual"], tuple(row.get("omits", ())),
            row.get("qualifies", {}), tuple(row.get("kills", ())), row.get("adds", ""),
            row.get("example", {}),
        )
        for row in rows
    )  # fmt: skip


class Comparer:
    """Compares outcomes on one engine with the rules."""

    def __init__(self, target: Target, engine: str, rows: Sequence[Deviation]) -> None:
        self._target = target
        ours = [row for row in rows if row.engine == engine]
        self._omits = {rule: row.id for row in ours for rule in row.omits}
        self._qualifies = {
            rule: (row.id, number) for row in ours for rule, number in row.qualifies.items()
        }
        self._kills = {rule: row.id for row in ours for rule in row.kills}
        self._adds = [(re.compile(row.adds), row.id) for row in ours if row.adds]

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
            return Comparison(
                findings, True, self._rows(self._kills[r] for r in broken if r in self._kills)
            )
        for pattern, row in self._adds:
            if pattern.search(outcome.words):
                return Comparison(findings, True, (row,))
        used = [self._omits[rule] for rule in broken if rule in self._omits]
        used += [self._qualifies[rule][0] for rule in broken if rule in self._qualifies]
        if used and answer in self._deviating(findings).outcomes:
            return Comparison(findings, True, self._rows(used))
        return Comparison(findings, False)

    def _deviating(self, findings: Findings) -> Findings:
        """What the engine finds, which checks less and numbers differently."""
        left = []
        for violation in findings.violations:
            if violation.rule.id in self._omits:
                continue
            if told := self._qualifies.get(violation.rule.id):
                violation = replace(violation, qualification=told[1])
            left.append(violation)
        return Findings(tuple(left), findings.undecided, findings.kept)

    def _rows(self, ids: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(set(ids)))


def _answer(outcome: Outcome) -> Answer | None:
    """An outcome as rules predict it; None for what no rule predicts."""
    if outcome.kind is Kind.ENTERED:
        return ENTERED
    if outcome.kind in (Kind.FAILED_VALID, Kind.REFUSED):
        return Answer(*outcome.verdict)
    return None
