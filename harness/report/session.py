"""What a page about a session is made of: its tests and runs, read from what runs leave behind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import project
from harness.report.text import Cleaner
from harness.verdict import bad_usage

MOST_RUNS = 2000
CONSOLE_LINES = 300  # the newest; the rest is in the run directory
_MOST_BYTES = 1 << 20  # read of any one file
_SPAN = re.compile(r"\[ *(\d+\.\d+)\] (?:vm: (\S+) (starts|ended)\b)?")


@dataclass(frozen=True)
class Run:
    """One run of a scenario, by its directory."""

    directory: Path
    outcome: Mapping[str, Any]
    console: Sequence[str]
    records: Sequence[str]
    post_mortem: Sequence[str]

    def word(self, key: str) -> str:
        """A text of the outcome; "" where there is none."""
        value = self.outcome.get(key)
        return value if isinstance(value, str) else ""

    @property
    def machine(self) -> str:
        """The engine, and the processor where it is not the engine's usual one."""
        return " ".join(filter(None, (self.word("engine") or "none", self.word("cpu"))))

    @property
    def status(self) -> str:
        """passed (as expected), skipped (no engine) or failed."""
        if self.word("verdict") == self.word("expected"):
            return "passed"
        return "skipped" if self.word("verdict") == "engine-missing" else "failed"

    @property
    def seconds(self) -> float:
        """How long it took."""
        value = self.outcome.get("seconds")
        return float(value) if isinstance(value, int | float) else 0.0

    @property
    def started(self) -> float | None:
        """When it started, in seconds since 1970."""
        value = self.outcome.get("started")
        return float(value) if isinstance(value, int | float) else None

    def exits(self) -> dict[str, dict[str, int]]:
        """By guest and kind, as the hypervisor counted them."""
        found: dict[str, dict[str, int]] = {}
        records = self.outcome.get("records")
        for one in records if isinstance(records, list) else ():
            if isinstance(one, dict) and one.get("kind") == "vm-stop":
                counts = one.get("exits")
                pairs = counts.items() if isinstance(counts, dict) else ()
                kinds = {str(k): v for k, v in pairs if isinstance(v, int) and v > 0}
                found[str(one.get("guest", "?"))[:64]] = kinds
        return found

    def spans(self) -> list[tuple[str, float, float]]:
        """When each guest started and ended, in the machine's own seconds, by the console."""
        started: dict[str, float] = {}
        found: list[tuple[str, float, float]] = []
        last = 0.0
        for line in self.console:
            if match := _SPAN.match(line):
                last, guest = float(match[1]), match[2] or ""
                if match[3] == "starts":
                    started[guest] = last
                elif match[3] == "ended" and guest in started:
                    found.append((guest, started.pop(guest), last))
        return found + [(guest, since, max(last, since)) for guest, since in started.items()]


@dataclass(frozen=True)
class Test:
    """One test of a pytest session."""

    name: str
    status: str
    seconds: float
    reason: str = ""
    sections: Sequence[tuple[str, str]] = ()
    run: Run | None = None


@dataclass(frozen=True)
class Session:
    """Everything that a page shows."""

    title: str
    runs: Sequence[Run]
    tests: Sequence[Test] = ()
    written: datetime = field(default_factory=lambda: datetime.now(UTC))


def of_directory(directory: Path) -> Session:
    """All runs that left their directories in ``directory``, or the one whose directory it is.

    RunEnded BAD_USAGE if there is none.
    """
    if not directory.is_dir():
        raise bad_usage(f"{directory} is no directory")
    alone = (directory / "outcome.json").exists()
    places = [directory] if alone else sorted(directory.glob("[!.]*/"))[-MOST_RUNS:]
    runs = [run for place in places if (run := load(place)) is not None]
    if not runs:
        raise bad_usage(f"{directory} holds no finished run (no outcome.json)")
    of_what = f"{runs[0].word('scenario')} on {runs[0].machine}" if alone else f"{len(runs)} runs"
    return Session(f"Vanderpool: {of_what}", runs)


def of_tests(seen: Iterable[Mapping[str, Any]]) -> Session:
    """The tests of a pytest session, as `harness.pytest_session` notes them."""
    tests = []
    for one in seen:
        run = load(Path(one["directory"])) if one.get("directory") else None
        # What stands in brackets names a directory, for whoever is at this machine.
        sections = [(t.partition(" (/")[0], _without_root(text)) for t, text in one["sections"]]
        reason = _without_root(one["reason"])
        tests.append(Test(one["name"], one["status"], one["seconds"], reason, sections, run))
    return Session("Vanderpool: test session", [test.run for test in tests if test.run], tests)


def _without_root(text: str) -> str:
    """Paths in the checkout as they are from there: a page is read elsewhere, too."""
    return text.replace(f"{project.root()}/", "")


def load(directory: Path) -> Run | None:
    """The run that left ``directory``; None if it did not finish, or what is there is no run."""
    try:
        text = (directory / "outcome.json").read_bytes()[: 16 * _MOST_BYTES]
        outcome = json.loads(_without_root(text.decode("utf-8", "replace")))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(outcome, dict) or not isinstance(outcome.get("verdict"), str):
        return None
    return Run(
        directory,
        outcome,
        _lines(directory / "console.log")[-CONSOLE_LINES:],
        _lines(directory / "records.jsonl")[-CONSOLE_LINES:],
        _lines(directory / "post-mortem.txt"),
    )


def _lines(path: Path) -> list[str]:
    data = b""
    with suppress(OSError), path.open("rb") as file:
        data = file.read(_MOST_BYTES)
    cleaner = Cleaner()
    return (cleaner.feed(data) + cleaner.close()).splitlines()
