"""A check that VM entry makes, as data; and what it is to break it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from harness.vmentry.controls import Control
from harness.vmentry.fields import BY_NAME
from harness.vmentry.state import State, Unknown


@dataclass(frozen=True)
class Outcome:
    """What a processor answers to a VM entry; with neither error nor reason it entered.

    ``reason`` is the basic exit reason of the failed entry, which has bit 31 set beside it.
    """

    error: int | None = None
    reason: int | None = None
    qualification: int = 0


ENTERED = Outcome()


class Stage(Enum):
    """The processor's order of checks (SDM 3C 27.1 to 27.4), and how each kind of failure shows."""

    CONTROLS = ("controls", 7, None, "VM-instruction error 7: invalid control field(s)")
    HOST = ("host state", 8, None, "VM-instruction error 8: invalid host-state field(s)")
    GUEST = ("guest state", None, 33, "exit reason 0x80000021: invalid guest state")
    MSR_LOADING = ("MSR loading", None, 34, "exit reason 0x80000022: MSR loading")

    word: str
    error: int | None
    reason: int | None
    meaning: str

    def __init__(self, word: str, error: int | None, reason: int | None, meaning: str) -> None:
        self.word = word
        self.error = error
        self.reason = reason
        self.meaning = meaning

    @property
    def place(self) -> int:
        """Its place in the order, from 0."""
        return list(Stage).index(self)


@dataclass(frozen=True)
class Condition:
    """When a rule applies: in words, as a test, and the fields that the test looks at."""

    words: str
    test: Callable[[State], bool]
    reads: tuple[str, ...]


def on(control: Control) -> Condition:
    """A control is 1."""
    return Condition(f"“{control.name}” is 1", lambda v: v.on(control), (control.field,))


def off(control: Control) -> Condition:
    """A control is 0."""
    return Condition(f"“{control.name}” is 0", lambda v: not v.on(control), (control.field,))


@dataclass(frozen=True)
class Rule:
    """One check.

    ``must`` says what the manual asks, as a clause that can follow "but"; ``reads`` are the fields
    whose values belong into the sentence, ``aside`` others that ``holds`` may look at; ``detail``
    says what is wrong with them, where that isn't plain. ``qualification`` is the exit's. An
    ``optional`` rule is one that the manual lets a processor do without.
    """

    id: str
    section: str
    stage: Stage
    reads: tuple[str, ...]
    must: str
    holds: Callable[[State], bool]
    when: tuple[Condition, ...] = ()
    detail: Callable[[State], str] | None = None
    qualification: int | Callable[[State], int] = 0
    aside: tuple[str, ...] = ()
    optional: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields that decide it, those of its conditions last."""
        names = (name for condition in self.when for name in condition.reads)
        return tuple(dict.fromkeys((*self.reads, *self.aside, *names)))

    def kept(self, v: State) -> bool:
        """Whether the rule is kept, which it is where it does not apply; raises `Unknown`."""
        return not all(condition.test(v) for condition in self.when) or self.holds(v)

    def sentence(self, v: State) -> str:
        """What is wrong, with the actual values; for a rule that is broken."""
        shown = [(BY_NAME[name].title, v.read(name)) for name in self.reads if v.knows(name)]
        values = ", ".join(f"{title} = {value:#x}" for title, value in shown)
        text = f"{values}, but {self.must}"
        if self.detail:
            text += f": {self.detail(v)}"
        if self.when:
            text += f" (given: {', '.join(condition.words for condition in self.when)})"
        return text


@dataclass(frozen=True)
class Violation:
    """A rule that is broken, and how."""

    rule: Rule
    sentence: str
    qualification: int = 0

    @property
    def outcome(self) -> Outcome:
        """How a processor tells."""
        return Outcome(self.rule.stage.error, self.rule.stage.reason, self.qualification)


@dataclass(frozen=True)
class Undecided:
    """A rule that can't be judged, and what is missing for it."""

    rule: Rule
    missing: str


@dataclass(frozen=True)
class Findings:
    """What came of looking at one VMCS, in the processor's order of checks."""

    violations: tuple[Violation, ...]
    undecided: tuple[Undecided, ...]
    kept: int  # rules

    @property
    def outcomes(self) -> frozenset[Outcome]:
        """All that a processor may answer, if the undecided rules are kept.

        Controls and host state may be checked in any order (27.2), then comes guest state (27.3),
        then the MSR-load area (27.4). Where only optional rules are broken, that is not the end.
        """
        found: set[Outcome] = set()
        for stages in ((Stage.CONTROLS, Stage.HOST), (Stage.GUEST,), (Stage.MSR_LOADING,)):
            broken = [v for v in self.violations if v.rule.stage in stages]
            found.update(violation.outcome for violation in broken)
            if not all(violation.rule.optional for violation in broken):
                return frozenset(found)
        return frozenset(found | {ENTERED})


def examine(rules: tuple[Rule, ...], v: State) -> Findings:
    """Judge one VM entry by all of the rules."""
    violations, undecided, kept = [], [], 0
    for rule in rules:
        try:
            if rule.kept(v):
                kept += 1
            else:
                told = rule.qualification
                number = told if isinstance(told, int) else told(v)
                violations.append(Violation(rule, rule.sentence(v), number))
        except Unknown as unknown:
            undecided.append(Undecided(rule, str(unknown)))
    return Findings(tuple(violations), tuple(undecided), kept)
