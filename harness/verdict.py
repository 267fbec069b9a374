"""How a run can end: each verdict has a word, an exit code of its own, and a meaning."""

from __future__ import annotations

from enum import Enum
from typing import Any


class Verdict(Enum):
    """The outcome of one run. ``word`` is what people read; ``exit_code`` is what shells read."""

    PASSED = ("passed", 0, "every expectation was met")
    FAILED = ("failed", 1, "an expectation was not met, or a guest was stopped unexpectedly")
    BAD_USAGE = ("bad-usage", 2, "the request itself can't be carried out")
    PANIC = ("panic", 3, "the hypervisor stopped itself and said why")
    TRIPLE_FAULT = ("triple-fault", 4, "the processor shut down: no handler could run")
    VM_ENTRY_FAILED = ("vm-entry-failed", 5, "the processor refused to enter a guest")
    TIMEOUT = (
        "timeout",
        6,
        "the time limit passed while the machine was getting on with something",
    )
    ENGINE_DIED = ("engine-died", 7, "the emulator ended by itself, or stopped answering")
    ENGINE_MISSING = ("engine-missing", 8, "no installed engine offers what the run needs")
    STALE_IMAGE = ("stale-image", 9, "what booted is not what the sources would build")
    SPINNING = ("spinning", 10, "the time limit passed, and a processor went round in one place")
    HALTED = ("halted", 11, "the time limit passed, and no processor could ever wake again")
    STARVED_HOST = ("starved-host", 12, "the host kept the emulator from running")

    word: str
    exit_code: int
    meaning: str

    def __init__(self, word: str, exit_code: int, meaning: str) -> None:
        self.word = word
        self.exit_code = exit_code
        self.meaning = meaning

    @classmethod
    def from_word(cls, word: str) -> Verdict:
        """The verdict called ``word``; ValueError if there is none."""
        for verdict in cls:
            if verdict.word == word:
                return verdict
        raise ValueError(f"no verdict is called {word!r}")


TIME_IS_UP = (Verdict.TIMEOUT, Verdict.SPINNING, Verdict.HALTED, Verdict.STARVED_HOST)
"""The verdicts of a run that its time limit ended."""


class RunEnded(Exception):
    """A run that ended in anything but success.

    Raised by whatever notices it first (a wait, the loader, the engine); carried unchanged to
    whoever prints it. ``sentence`` is one complete sentence for a person; ``evidence`` is a short
    list of lines that support it (a log's tail, a record); ``facts`` goes into JSON output.
    """

    def __init__(
        self,
        verdict: Verdict,
        sentence: str,
        *,
        evidence: tuple[str, ...] = (),
        facts: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.verdict = verdict
        self.sentence = sentence
        self.evidence = evidence
        self.facts = facts or {}


def bad_usage(sentence: str, *evidence: str) -> RunEnded:
    """The exception for a request that can't be carried out; raise it."""
    return RunEnded(Verdict.BAD_USAGE, sentence, evidence=evidence)
