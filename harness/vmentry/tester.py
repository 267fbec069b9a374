"""The image that tries VM entries, running on an engine, as one call: cases in, outcomes out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from harness import project
from harness.engines.base import Boot, Engine
from harness.image import build_id
from harness.machine import Machine
from harness.records import Record
from harness.verdict import RunEnded, Verdict, bad_usage
from harness.vmentry import wire
from harness.vmentry.rules import RULES
from harness.vmentry.target import Target, from_records
from harness.vmentry.wire import Case, Kind, Outcome

MEMORY_MIB = 32
READY_WITHIN = 60.0  # seconds; a loaded host is slow
ANSWER_WITHIN = 30.0  # seconds for a frame, which takes a tenth of one
MOST_STARTS = 100  # machines lost to one chunk of cases

_REMARK = re.compile(rb"^\d+e\[[^\]]*\] ((?:VMFAIL|VMENTER FAIL): [^\n]*)$", re.MULTILINE)


def image() -> Path:
    """The image that `make` builds."""
    return project.root() / "build" / "vanderpool-vmentry.elf"


def built() -> str:
    """The build id of the image. RunEnded BAD_USAGE if it isn't built."""
    if not image().exists():
        raise bad_usage(f"{image()} is not built: run `make` first.")
    build = build_id(image())
    if build is None:
        raise bad_usage(f"{image()} has no build id: run `make` again.")
    return build


class Tester:
    """One machine at a time, started anew when one dies. A context; not thread-safe.

    ``expect_build``: the image must be this one, else STALE_IMAGE.
    """

    __test__ = False  # for pytest, which takes a class of this name for one of tests

    def __init__(self, engine: Engine, cpu: str | None, directory: Path, expect_build: str) -> None:
        self._engine = engine
        self._cpu = cpu
        self._directory = directory
        self._expect_build = expect_build
        self._machine: Machine | None = None
        self._starts = 0
        self._frames = 0
        self._log_offset = 0
        self.target: Target

    def __enter__(self) -> Tester:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Boot a machine and learn what it is. RunEnded as `Machine.start`, or STALE_IMAGE."""
        self.stop()
        if built() != self._expect_build:
            raise RunEnded(
                Verdict.STALE_IMAGE,
                f"{image()} is not the image that this campaign began with: build that one, or "
                "begin anew.",
            )
        if self._starts == MOST_STARTS:
            raise RunEnded(
                Verdict.ENGINE_DIED,
                f"the machine was lost {MOST_STARTS} times: no single case does it.",
            )
        self._starts += 1
        self._log_offset = 0
        self._machine = Machine.start(
            self._engine,
            Boot(image(), memory_mib=MEMORY_MIB, cpu_model=self._cpu, freezes=False),
            self._directory / f"machine-{self._starts}",
            expect_build=self._expect_build,
        )
        self._machine.expect_record("ready", timeout=READY_WITHIN)
        if self._starts == 1:
            self.target = from_records(self._machine.records, RULES)

    def stop(self) -> None:
        """End the machine, if one runs. Idempotent."""
        if self._machine is not None:
            self._machine.kill()
            self._machine = None

    def attempt(
        self, cases: Sequence[Case], meanwhile: Callable[[], object] = list
    ) -> list[Outcome]:
        """Try up to `wire.MOST_CASES` cases; the outcome of each.

        ``meanwhile`` is called once, while the machine works. A machine that dies or hangs is
        started anew and the frame repeated once; if that goes wrong too, case by case, so that the
        one that does it has the outcome DIED or HUNG.
        """
        to_do = [meanwhile]

        def once() -> None:
            if to_do:
                to_do.pop()()

        for again in (True, False):
            try:
                return self._frame(cases, once)
            except _Lost as lost:
                self.start()
                if not again and len(cases) == 1:
                    return [Outcome(lost.kind, words=lost.words)]
            finally:
                once()
        return [outcome for case in cases for outcome in self.attempt([case])]

    def _frame(self, cases: Sequence[Case], meanwhile: Callable[[], object]) -> list[Outcome]:
        assert self._machine is not None
        self._frames = (self._frames + 1) & 0xFFFF
        deadline = time.monotonic() + ANSWER_WITHIN
        try:
            self._machine.write_records(wire.frame(self._frames, cases))
            meanwhile()
            left = max(1.0, deadline - time.monotonic())
            answer = self._machine.expect_record("answers", timeout=left)
        except RunEnded as ended:
            raise _lost(ended) from None
        return self._with_remarks(self._outcomes(answer, len(cases)))

    def _outcomes(self, answer: Record, count: int) -> list[Outcome]:
        try:
            found = wire.outcomes(str(answer["outcomes"]))
            whole = answer["frame"] == self._frames and answer["damaged"] is False
        except (KeyError, ValueError):
            whole = False
        if not whole or len(found) != count:
            raise _Lost(Kind.DIED, f"it did not understand a frame: {answer}")
        return found

    def _with_remarks(self, found: list[Outcome]) -> list[Outcome]:
        """Add the engine's own words, if it said something about each entry that was refused."""
        said = self._remarks()
        refused = [place for place, outcome in enumerate(found) if outcome.refused]
        if len(said) < len(refused):  # of bad PDPTEs it says nothing
            refused = [place for place in refused if found[place].qualification != 2]
        if len(said) == len(refused):
            for place, words in zip(refused, said, strict=True):
                found[place] = replace(found[place], words=words)
        return found

    def _remarks(self) -> list[str]:
        """What Bochs's log says since the last look; none of an engine without such a log."""
        try:
            with (self._directory / f"machine-{self._starts}" / "engine.log").open("rb") as log:
                log.seek(self._log_offset)
                fresh = log.read(1 << 22)
                self._log_offset = log.tell()
        except OSError:
            return []
        return [text.decode("utf-8", "replace") for text in _REMARK.findall(fresh)]


class _Lost(Exception):
    """The machine is of no more use: it hung or died."""

    def __init__(self, kind: Kind, words: str) -> None:
        super().__init__(words)
        self.kind = kind
        self.words = words


def _lost(ended: RunEnded) -> _Lost:
    if ended.verdict is Verdict.TIMEOUT:
        return _Lost(Kind.HUNG, "")
    if ended.verdict in (Verdict.ENGINE_DIED, Verdict.TRIPLE_FAULT, Verdict.PANIC, Verdict.FAILED):
        return _Lost(Kind.DIED, ended.sentence)
    raise ended
