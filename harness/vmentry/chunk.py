"""One piece of a campaign: so many cases in one boot of one machine. It depends on nothing else."""

from __future__ import annotations

import itertools
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import choose
from harness.vmentry.compare import Comparer, Comparison
from harness.vmentry.deviations import table
from harness.vmentry.minimize import minimize
from harness.vmentry.mutate import Mutation, Mutator
from harness.vmentry.safety import safe
from harness.vmentry.tester import Tester
from harness.vmentry.wire import MOST_CASES, Case, Kind, Outcome

SIZE = 1000  # cases in a chunk: some seconds, of which a boot is a tenth
MOST_MINIMIZED = 50  # disagreements of a chunk that are minimized; the others are counted

_COUNTS = ("cases", "entered", "refused", "left_out", "disagreements")


@dataclass(frozen=True)
class Plan:
    """A campaign: ``count`` cases on each CPU model, ``size`` of them in a chunk.

    ``build`` is the image's build id.
    """

    seed: int
    count: int
    cpus: tuple[str, ...]
    engine: str
    build: str
    size: int = SIZE

    def chunks(self) -> list[tuple[str, int]]:
        """All pieces: CPU model and number."""
        pieces = (self.count + self.size - 1) // self.size
        return [(cpu, number) for number in range(pieces) for cpu in self.cpus]

    def as_json(self) -> dict[str, Any]:
        """For files and for workers."""
        return {**asdict(self), "cpus": list(self.cpus)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """Out of `as_json`; KeyError, TypeError or ValueError if it is none."""
        plan = cls(
            int(data["seed"]), int(data["count"]), tuple(map(str, data["cpus"])),
            str(data["engine"]), str(data["build"]), int(data["size"]),
        )  # fmt: skip
        if plan.count < 1 or plan.size < 1 or not plan.cpus:
            raise ValueError("a plan without cases")
        return plan


def run(plan: Plan, cpu: str, index: int) -> dict[str, Any]:
    """Try the cases of one chunk; a JSON document with all that came of them.

    Raises RunEnded if that can't be done at all.
    """
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="hv-fuzz-") as directory,
        Tester(choose.engine(plan.engine), cpu, Path(directory), plan.build) as tester,
    ):
        result = _Chunk(plan.engine, cpu, tester)
        mutations = result.harmless(_mutations(plan, cpu, index, tester))
        pending, before = _some(mutations), _NOTHING
        while pending:
            following: list[Mutation] = []

            def meanwhile(
                following: list[Mutation] = following, before: _Tried = before
            ) -> None:  # the machine works, so this costs no time
                result.take(*before)
                following += _some(mutations)

            outcomes = tester.attempt([mutation.case for mutation in pending], meanwhile)
            pending, before = following, (pending, outcomes)
        result.take(*before)
        result.finish(first=index == 0)
    return {
        "cpu": cpu, "chunk": index, "seconds": round(time.monotonic() - started, 3),
        **result.as_json(),
    }  # fmt: skip


_Tried = tuple[Sequence[Mutation], Sequence[Outcome]]
_NOTHING: _Tried = ((), ())


def _some(mutations: Iterator[Mutation]) -> list[Mutation]:
    return list(itertools.islice(mutations, MOST_CASES))


def _mutations(plan: Plan, cpu: str, index: int, tester: Tester) -> Iterator[Mutation]:
    """The campaign's cases of this chunk: first every rule's edges, then what the seed gives."""
    start, end = index * plan.size, min((index + 1) * plan.size, plan.count)
    mutator = Mutator(tester.target, random.Random(f"{plan.seed} {cpu} {index}"))
    edges = list(itertools.islice(mutator.edges(), start, end))
    yield from edges
    yield from itertools.islice(mutator.some(), end - start - len(edges))


class _Chunk:
    """What comes of the cases of one chunk."""

    def __init__(self, engine: str, cpu: str, tester: Tester) -> None:
        self._tester = tester
        self._comparer = Comparer(tester.target, engine, cpu, table())
        self._counts: Counter[str] = Counter()
        self._alone: Counter[str] = Counter()  # cases that break this rule and no other
        self._deviations: Counter[str] = Counter()
        self._undecided: Counter[str] = Counter()
        self._found: dict[str, tuple[Mutation, Outcome, int]] = {}  # by signature; how often
        self._deadly: dict[str, Mutation] = {}  # by row of the table
        self._doubtful: list[tuple[Mutation, Outcome]] = []
        self._disagreements: list[dict[str, Any]] = []

    def harmless(self, mutations: Iterable[Mutation]) -> Iterator[Mutation]:
        """Those at which the engine does not end by itself, as far as the table knows."""
        for mutation in mutations:
            row = self._comparer.deadly(mutation.case)
            if row is None:
                yield mutation
            else:
                self._deadly.setdefault(row, mutation)
                self._counts["left_out"] += 1

    def take(self, mutations: Sequence[Mutation], outcomes: Sequence[Outcome]) -> None:
        """Compare outcomes with the rules."""
        for mutation, outcome in zip(mutations, outcomes, strict=True):
            comparison = self._comparer.compare(mutation.case, outcome)
            if comparison.agrees or outcome.words or not outcome.refused:
                self._count(mutation, comparison, outcome)
            else:
                self._doubtful.append((mutation, outcome))

    def _count(self, mutation: Mutation, comparison: Comparison, outcome: Outcome) -> None:
        self._counts["cases"] += 1
        self._counts["entered" if outcome.entered else "refused"] += 1
        broken = [violation.rule.id for violation in comparison.findings.violations]
        if len(broken) == 1:
            self._alone[broken[0]] += 1
        if not broken:
            self._undecided.update(u.rule.id for u in comparison.findings.undecided)
        self._deviations.update(comparison.explained)
        if not comparison.agrees:
            self._counts["disagreements"] += 1
            key = _signature(comparison, outcome)
            first, said, times = self._found.get(key, (mutation, outcome, 0))
            self._found[key] = first, said, times + 1

    def _with_words(self, case: Case, outcome: Outcome) -> tuple[Comparison, Outcome]:
        """An entry that was refused has the engine's own words for certain if it is tried alone."""
        comparison = self._comparer.compare(case, outcome)
        if not comparison.agrees and outcome.refused and not outcome.words:
            [outcome] = self._tester.attempt([case])
            comparison = self._comparer.compare(case, outcome)
        return comparison, outcome

    def finish(self, *, first: bool) -> None:
        """Minimize what disagreed; the first chunk tries one of each kind that was left out."""
        for mutation in self._deadly.values() if first else ():
            self._counts["left_out"] -= 1
            self.take([mutation], self._tester.attempt([mutation.case]))
        for mutation, outcome in self._doubtful:
            self._count(mutation, *self._with_words(mutation.case, outcome))
        seen: set[str] = set()
        for mutation, outcome, times in list(self._found.values())[:MOST_MINIMIZED]:
            smallest = mutation.case
            if outcome.kind is not Kind.HUNG:  # at which each try costs a minute
                smallest = minimize(self._tester.target, mutation.case, self._disagree)
                [outcome] = self._tester.attempt([smallest])
            comparison = self._comparer.compare(smallest, outcome)
            key = _signature(comparison, outcome)
            if key not in seen:
                seen.add(key)
                self._disagreements.append(
                    self._report(mutation, smallest, outcome, comparison, times)
                )

    def _disagree(self, cases: Sequence[Case]) -> list[bool]:
        allowed = [case for case in cases if self._may_be_tried(case)]
        shows: dict[Case, bool] = {}
        for start in range(0, len(allowed), MOST_CASES):
            some = allowed[start : start + MOST_CASES]
            for case, outcome in zip(some, self._tester.attempt(some), strict=True):
                shows[case] = not self._with_words(case, outcome)[0].agrees
        return [shows.get(case, False) for case in cases]

    def _may_be_tried(self, case: Case) -> bool:
        return safe(self._tester.target, case) and self._comparer.deadly(case) is None

    def _report(
        self, mutation: Mutation, case: Case, outcome: Outcome, comparison: Comparison, times: int
    ) -> dict[str, Any]:
        target = self._tester.target
        return {
            "base": target.bases[case.base].name,
            "changes": target.named(case),
            "processor": str(outcome),
            "engine_says": outcome.words,
            "rules_say": [
                {"rule": v.rule.id, "section": v.rule.section, "sentence": v.sentence}
                for v in comparison.findings.violations
            ],
            "aim": mutation.aim,
            "times": times,
            "case": case.as_json(),
            "first_seen": mutation.case.as_json(),
        }

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            **{key: self._counts[key] for key in _COUNTS},
            "alone": dict(self._alone),
            "deviations": dict(self._deviations),
            "undecided": dict(self._undecided),
            "found": self._disagreements,
        }


def _signature(comparison: Comparison, outcome: Outcome) -> str:
    """Alike for disagreements that are one and the same."""
    broken = sorted(violation.rule.id for violation in comparison.findings.violations)
    words = re.sub(r"0x[0-9a-f]+|\d+", "#", outcome.words)
    return f"{broken} {outcome.kind.value} {outcome.verdict} {words}"
