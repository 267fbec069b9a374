"""What a run came to: its verdict, and all that was learnt on the way."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.verdict import RunEnded, Verdict

if TYPE_CHECKING:
    from harness.trace import Trace


@dataclass
class Outcome:
    """What one run came to."""

    scenario: str
    verdict: Verdict = Verdict.PASSED
    expected: Verdict = Verdict.PASSED
    sentence: str = "everything that was expected happened"
    evidence: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    engine: str | None = None
    cpu: str | None = None
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    started: float = field(default_factory=time.time)  # seconds since 1970
    seconds: float = 0.0
    directory: Path | None = None
    records: list[dict[str, Any]] = field(default_factory=list)
    tick: int | None = None  # where in emulated time the machine stopped, where the engine counts
    post_mortem: list[str] = field(default_factory=list)  # a page of text
    trace: Trace | None = None  # where one was asked for, and could be read

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the one that the scenario asks for."""
        return self.verdict is self.expected

    @property
    def exit_code(self) -> int:
        """The verdict's own; 1 for a run that passed although its scenario wants another end."""
        if self.verdict is Verdict.PASSED and not self.as_expected:
            return Verdict.FAILED.exit_code
        return self.verdict.exit_code

    def take(self, ended: RunEnded) -> None:
        """Adopt the verdict that ended the run."""
        self.verdict, self.sentence = ended.verdict, ended.sentence.removesuffix(".")
        self.evidence, self.facts = ended.evidence, ended.facts

    def as_json(self) -> dict[str, Any]:
        """Everything, in plain JSON types."""
        return {
            "scenario": self.scenario,
            "verdict": self.verdict.word,
            "exit_code": self.exit_code,
            "expected": self.expected.word,
            "sentence": self.sentence,
            "evidence": list(self.evidence),
            "facts": self.facts,
            "engine": self.engine,
            "cpu": self.cpu,
            "passed_over": [{"engine": name, "why": why} for name, why in self.passed_over],
            "started": round(self.started, 3),
            "seconds": round(self.seconds, 3),
            "tick": self.tick,
            **({"trace": self.trace.as_json()} if self.trace else {}),
            "run_directory": str(self.directory) if self.directory else None,
            "crashes": [record for record in self.records if record.get("kind") == "crash"],
            "records": self.records,
        }
