"""``hv diff``: one scenario on two machines, compared by what its guests can observe.

What the console shows of each guest, the records that name it, and the kinds of its exits in their
order. What may differ stands in harness/deviations.toml, and nowhere else.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import deviations
from harness.report.text import plain
from harness.verdict import RunEnded, Verdict, bad_usage

if TYPE_CHECKING:
    from harness.outcome import Outcome
    from harness.scenario import Scenario

PATIENCE = 3.0  # times a scenario's limit: that an engine is slow is no difference
CONTEXT = 3  # lines before the first difference that are shown, and after it
ANY = "any"  # among the exits that may differ
_LONGEST = 64 << 20  # bytes of a console that are looked at


@dataclass(frozen=True)
class Target:
    """An engine with a CPU model (None: its default), as it is written: "bochs:ryzen"."""

    engine: str
    cpu: str | None = None

    @classmethod
    def parse(cls, text: str) -> Target:
        """ENGINE or ENGINE:CPU."""
        engine, _, cpu = text.partition(":")
        return cls(engine, cpu or None)

    def __str__(self) -> str:
        return f"{self.engine}:{self.cpu}" if self.cpu else self.engine


@dataclass
class Seen:
    """What one run showed, in comparable lines. Per guest: console, records, exits."""

    machine: Target
    verdict: str
    sentence: str
    vendor: str  # "vmx", "svm" or ""
    console: dict[str, list[str]] = field(default_factory=dict)
    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # "": of no guest
    exits: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # kind, and what of it
    lost: int = 0  # exits that the trace could not keep; then it has no beginning
    traced: bool = True

    @property
    def whole(self) -> bool:
        """Are all exits there, from the first one on?"""
        return self.traced and not self.lost


@dataclass(frozen=True)
class Difference:
    """The first difference between two runs in one respect, with the lines around it."""

    guest: str  # "": the machine as a whole
    respect: str  # "verdict", "console", "records", "exits"
    line: int  # from 1
    left: tuple[str, ...]
    right: tuple[str, ...]
    before: tuple[str, ...] = ()  # what both had
    known: tuple[str, ...] = ()  # rows of the table that explain it


@dataclass(frozen=True)
class Comparison:
    """One scenario on two machines."""

    scenario: str
    left: Target
    right: Target
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether there is no difference but known ones."""
        return all(one.known for one in self.differences)

    def as_json(self) -> dict[str, Any]:
        """Everything, in plain JSON types."""
        return {
            "scenario": self.scenario,
            "left": str(self.left),
            "right": str(self.right),
            "same": self.same,
            "differences": [asdict(one) for one in self.differences],
            "notes": list(self.notes),
        }


def run(scenario: Scenario, machine: Target, *, append: str = "") -> Seen:
    """Run ``scenario`` on ``machine``. RunEnded where it can't be run there at all."""
    from harness import runner

    if scenario.cpu and machine.cpu not in (None, scenario.cpu):
        raise bad_usage(f"{machine}: {scenario.name} is about the CPU {scenario.cpu}")
    patience = 1.0 if scenario.verdict is Verdict.TIMEOUT else PATIENCE
    outcome = runner.run(
        scenario,
        engine=machine.engine,
        cpu=machine.cpu,
        timeout=scenario.timeout * patience,
        append=append,
        trace=True,
    )
    if outcome.verdict in (Verdict.ENGINE_MISSING, Verdict.BAD_USAGE, Verdict.STALE_IMAGE):
        raise RunEnded(outcome.verdict, f"{machine}: {outcome.sentence}", evidence=outcome.evidence)
    return seen(scenario, machine, outcome)


def seen(scenario: Scenario, machine: Target, outcome: Outcome) -> Seen:
    """What ``outcome`` shows."""
    boot = next((one for one in outcome.records if one.get("kind") == "boot"), {})
    virtualization = boot.get("virtualization")
    vendor = virtualization.get("kind", "") if isinstance(virtualization, dict) else ""
    found = Seen(machine, outcome.verdict.word, outcome.sentence, str(vendor))
    names = [guest.name for guest in scenario.guests]
    found.console = {name: list(lines) for name, lines in _console(outcome.directory, names)}
    for record in outcome.records:
        guest = record.get("guest")
        found.records.setdefault(guest if guest in names else "", []).append(record)
    if outcome.trace is None:
        found.traced = False
    else:
        found.lost = outcome.trace.lost
        found.exits = {
            name: [(one.kind, one.what) for one in outcome.trace.of(name)] for name in names
        }
    return found


def _console(directory: Path | None, names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    text = ""
    if directory is not None:
        with contextlib.suppress(OSError), (directory / "console.log").open("rb") as file:
            text = file.read(_LONGEST).decode("utf-8", "replace")
    for name in names:
        yield name, re.findall(rf"^{re.escape(name)}\| ([^\r\n]*)", text, re.MULTILINE)


def compare(scenario: Scenario, left: Seen, right: Seen, table: deviations.Table) -> Comparison:
    """The first difference in each respect, guest by guest."""
    found: list[Difference] = []
    notes: list[str] = []
    vendors = left.vendor != right.vendor
    general = tuple(
        f"{side.machine}: {row}"
        for side in (left, right)
        for row in table.of_scenario(scenario.name, side.machine.engine, side.machine.cpu)
    )
    if left.verdict != right.verdict:
        ours, theirs = ([f"{side.verdict}: {side.sentence}"] for side in (left, right))
        found.append(Difference("", "verdict", 1, tuple(ours), tuple(theirs), known=general))
    for name, image in [("", ""), *((one.name, one.path.stem) for one in scenario.guests)]:
        rules = [
            one for one in table.latitudes if one.concerns(scenario.name, image, vendors=vendors)
        ]
        known = tuple(
            f"{side.machine}: {row}"
            for side in (left, right)
            for row in table.of_guest(image, side.machine.engine, side.machine.cpu)
        )
        known = (*general, *known)
        for respect, lines in (("console", _console_lines), ("records", _lines), ("exits", _exits)):
            if respect != "exits" or (left.whole and right.whole):
                ours, theirs = (lines(side, name, rules) for side in (left, right))
                if difference := first(name, respect, ours, theirs, known):
                    found.append(difference)
    for side in (left, right):
        if not side.traced:
            notes.append(f"exits were not compared: none could be read on {side.machine}")
        elif side.lost:
            notes.append(
                f"exits were not compared: {side.machine} had {side.lost} more than its trace keeps"
            )
    return Comparison(scenario.name, left.machine, right.machine, tuple(found), tuple(notes))


Rules = Sequence[deviations.Latitude]


def _console_lines(side: Seen, guest: str, _: Rules) -> list[str]:
    return side.console.get(guest, [])


def _lines(side: Seen, guest: str, rules: Rules) -> list[str]:
    """One line a member of each record, without what may differ."""
    lines = []
    for record in side.records.get(guest, []):
        kind = str(record.get("kind"))
        free = [rule for rule in rules if rule.record == kind]
        if any(not rule.fields for rule in free):
            continue
        lines.append(f"record {kind}")
        try:
            lines += _members(record, free, "")
        except RecursionError:  # a guest's doing
            lines.append("  (nested too deep)")
    return lines


def _members(record: Mapping[str, Any], rules: Rules, within: str) -> Iterator[str]:
    """What has to agree of each member; "registers.cr4" is within another."""
    for key, value in record.items():
        name = f"{within}{key}"
        if name in ("seq", "kind", "guest"):
            continue
        for rule in rules:
            value = rule.bound(name, value)
        if isinstance(value, Mapping):
            yield from _members(value, rules, f"{name}.")
        elif value is not None:
            yield f"  {name} = {value}"


def _exits(side: Seen, guest: str, rules: Rules) -> list[str]:
    ignored = {kind for rule in rules for kind in rule.exits}
    if ANY in ignored:
        return []
    exits = side.exits.get(guest, [])
    return [f"{kind} {what}".rstrip() for kind, what in exits if kind not in ignored]


def first(
    guest: str,
    respect: str,
    left: Sequence[str],
    right: Sequence[str],
    known: tuple[str, ...] = (),
) -> Difference | None:
    """The first line in which two lists differ, with its context; None if they are the same."""
    at = next(
        (n for n, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]),
        min(len(left), len(right)),
    )
    if at == len(left) == len(right):
        return None
    return Difference(
        guest,
        respect,
        at + 1,
        tuple(left[at : at + 1 + CONTEXT]),
        tuple(right[at : at + 1 + CONTEXT]),
        tuple(left[max(0, at - CONTEXT) : at]),
        known,
    )


def described(one: Comparison) -> Iterator[str]:
    """The comparison in lines for a person, safe for a terminal."""
    for difference in one.differences:
        whose = f"guest {difference.guest}" if difference.guest else "the machine"
        note = "known: " if difference.known else ""
        if difference.respect == "verdict":
            yield f"{note}the verdicts differ"
        else:
            what = {"console": "console lines"}.get(difference.respect, difference.respect)
            yield f"{note}{plain(whose)}: {what} differ from number {difference.line} on"
        for line in difference.before:
            yield f"      {plain(line)}"
        for side, lines, mark in (
            (one.left, difference.left, "-"),
            (one.right, difference.right, "+"),
        ):
            for line in lines or ("(nothing more)",):
                yield f"    {mark} {plain(line)}"
            yield f"      ^ {side}"
        for row in difference.known:
            yield f"    because {row}"
    yield from one.notes


def main(name: str, machines: Sequence[str], *, append: str, as_json: bool) -> int:
    """Compare ``name`` on ``machines`` (as people write them), print it, return the exit code."""
    import sys

    from harness import choose, scenario
    from harness.report.screen import Screen

    chosen = [Target.parse(text) for text in machines] or [Target("bochs"), Target("qemu-tcg")]
    if len(chosen) < 2:
        raise bad_usage("a comparison needs two machines: give --on twice, or not at all")
    for machine in chosen:
        choose.engine(machine.engine)  # raises the sentence
    found = scenario.find(name)
    reference, *others = (run(found, machine, append=append) for machine in chosen)
    table = deviations.table()
    compared = [compare(found, reference, other, table) for other in others]
    screen = Screen(sys.stdout)
    if as_json:
        import json

        screen.line(json.dumps([one.as_json() for one in compared], indent=2))
    for one in () if as_json else compared:
        for line in described(one):
            screen.line(line)
        word = screen.styled(
            "same" if one.same else "different", fg="green" if one.same else "red", bold=True
        )
        screen.line(f"{word}  {plain(one.scenario)} on {one.left} and {one.right}")
    return 0 if all(one.same for one in compared) else 1
