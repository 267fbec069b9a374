"""Decides from the hypervisor's records whether a run is what its scenario wants."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.records import contains
from harness.report.text import plain
from harness.scenario import Scenario
from harness.verdict import TIME_IS_UP, RunEnded, Verdict

USAGE_REASONS = ("bad-option", "bad-module", "bad-image", "too-big")
"""Reasons of a refusal by which the hypervisor says that the request is wrong."""

ENTRY_FAILURE = "VM-entry failure"

_TOLD_ELSEWHERE = (
    *("seq", "kind", "registers", "freezes"),
    *("msrs", "cpuid", "fields"),  # the explanation of a failed entry has what matters of them
    *("code", "word", "stack", "frames"),  # the post-mortem has them
)
"""Members of a crash record for which one line is no place."""

_FAILING_STATUS = {"guest-crashed": ("crash", "vm-refused"), "refused": ("refused",)}


class Judge:
    """Sees every record of one run; knows which of them decide it."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.decided: RunEnded | None = None
        self.done: Mapping[str, Any] | None = None
        self.kinds: set[str] = set()

    def see(self, kind: str, data: Mapping[str, Any]) -> bool:
        """Take in one record; True if it decides the run (only the first one does)."""
        self.kinds.add(kind)
        if kind == "done":
            self.done = data
        if self.decided is not None or self._wanted(kind, data):
            return False
        self.decided = _decision(kind, data)
        return self.decided is not None

    def better(self, ended: RunEnded) -> RunEnded:
        """The cause behind ``ended``, which is how a wait found out that something is wrong."""
        if self.decided is None or ended.verdict not in (Verdict.FAILED, *TIME_IS_UP):
            return ended
        cause = self.decided
        return RunEnded(
            cause.verdict,
            cause.sentence,
            evidence=(*cause.evidence, f"then: {ended.sentence}"),
            facts=cause.facts,
        )

    def conclude(self, problems: Sequence[str] = ()) -> None:
        """The machine has powered off and every expectation is met: raise if it is no success.

        ``problems`` are those of the record stream: what a damaged stream says proves nothing.
        """
        if self.decided is not None:
            raise self.decided
        if problems:
            raise RunEnded(
                Verdict.FAILED,
                "the hypervisor's records are damaged",
                evidence=tuple(plain(problem) for problem in problems[:10]),
            )
        if self.done is None:
            raise RunEnded(
                Verdict.FAILED, "the machine powered off without the record that it is done"
            )
        status = str(self.done.get("status"))
        told = _FAILING_STATUS.get(status)
        if told and not self.kinds.intersection(told):
            raise RunEnded(
                Verdict.FAILED,
                f"the hypervisor ended as {status!r}, but no record says why",
                evidence=(_line(self.done),),
            )

    def _wanted(self, kind: str, data: Mapping[str, Any]) -> bool:
        return kind in self.scenario.allow or any(
            expectation.record == kind and contains(data, expectation.where)
            for expectation in self.scenario.expectations
        )


def _decision(kind: str, data: Mapping[str, Any]) -> RunEnded | None:
    """The verdict that a record amounts to where nobody expected it."""
    if kind == "crash":
        return _crash(data)
    message = plain(str(data.get("message", "it gave no message")))
    guest = plain(str(data.get("guest", "?")))
    usage = data.get("reason") in USAGE_REASONS
    verdict = Verdict.BAD_USAGE if usage else Verdict.FAILED
    evidence, facts = (_line(data),), dict(data)
    if kind == "refused":
        sentence = f"the hypervisor refused: {message}"
    elif kind == "vm-refused":
        sentence = f"guest {guest} was refused: {message}"
    elif kind == "report" and data.get("passed") is False:
        sentence = f"guest {guest} reports failure (value {plain(str(data.get('value')))})"
    else:
        return None
    return RunEnded(verdict, sentence, evidence=evidence, facts=facts)


def _crash(data: Mapping[str, Any]) -> RunEnded:
    reason = plain(str(data.get("reason", "no reason given")))
    sentence = f"guest {plain(str(data.get('guest', '?')))} was stopped: {reason}"
    if "address" in data:
        sentence += f" at {plain(str(data['address']))}"
    if "access" in data:
        sentence += f" ({plain(str(data['access']))})"
    entry = reason.startswith(ENTRY_FAILURE)
    return RunEnded(
        Verdict.VM_ENTRY_FAILED if entry else Verdict.FAILED,
        sentence,
        evidence=(*(_why_not_entered(data) if entry else ()), *_crash_lines(data)),
        facts=dict(data),
    )


def _why_not_entered(data: Mapping[str, Any]) -> tuple[str, ...]:
    from harness.vmentry import explain

    return tuple(explain.of_crash(data))


def _crash_lines(data: Mapping[str, Any]) -> tuple[str, ...]:
    """A crash record for people: the facts on one line, then the registers, four a line."""
    shown = {key: value for key, value in data.items() if key not in _TOLD_ELSEWHERE}
    lines = ["  ".join(f"{plain(key)}={plain(str(value))}" for key, value in shown.items())]
    registers = data.get("registers")
    if isinstance(registers, Mapping):
        words = [f"{plain(str(name)):>6} {plain(str(value))}" for name, value in registers.items()]
        lines += ["  ".join(words[at : at + 4]) for at in range(0, len(words), 4)]
    return tuple(lines)


def _line(data: Mapping[str, Any]) -> str:
    return plain(json.dumps(dict(data)))
