"""What a person sees of a run: the engine, the console as it is written, the verdict."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from harness.job import Job
from harness.observer import Silent
from harness.outcome import Outcome
from harness.report.screen import Screen
from harness.report.text import Cleaner, plain
from harness.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

_HYPERVISOR = re.compile(r"\[ *\d+\.\d+\] (?:[\w-]+:)?")
_GUEST = re.compile(r"[\w.-]+\| ")
_UNDECIDED = re.compile(r"\[[ \d.]*(?:\](?: [\w-]*)?)?|[\w.-]*\|?")
"""The start of a line that may still turn out to have one of these prefixes."""


class Live(Silent):
    """An observer for people."""

    def __init__(self, screen: Screen, *, raw: bool = False) -> None:
        self.screen = screen
        self.raw = raw  # the machine's bytes go to the terminal as they are (interactive)
        self._cleaner = Cleaner()
        self._at_start = True
        self._held = ""  # the start of a line whose prefix is not known yet

    def chosen(self, job: Job) -> None:
        """Say which engine it will be, and why not a better one."""
        self.screen.line(self.screen.styled(engine_line(job), dim=True))

    def progress(self, text: str) -> None:
        """Say what the engine does until the machine can start."""
        self.screen.line(self.screen.styled(plain(text), dim=True))

    def console(self, data: bytes) -> None:
        """Show what the console says."""
        if self.raw:
            with open(self.screen.stream.fileno(), "wb", buffering=0, closefd=False) as terminal:
                terminal.write(data)
            return
        self._show(self._cleaner.feed(data))

    def ended(self, outcome: Outcome) -> None:
        """Say what came of it."""
        if not self.raw:
            self._show(self._cleaner.close(), last=True)
        if not self._at_start:
            self.screen.line()
            self._at_start = True
        write_verdict(self.screen, outcome)

    def _show(self, text: str, *, last: bool = False) -> None:
        out = []
        text, self._held = self._held + text, ""
        for line in re.findall(r"[^\n]*\n|[^\n]+", text):
            if self._at_start and self.screen.colours and not last and _UNDECIDED.fullmatch(line):
                self._held = line
                continue
            out.append(self._prefixed(line) if self._at_start else line)
            self._at_start = line.endswith("\n")
        if out:
            self.screen.write("".join(out))

    def _prefixed(self, line: str) -> str:
        if found := _HYPERVISOR.match(line):
            return self.screen.styled(found[0], fg="cyan") + line[found.end() :]
        if found := _GUEST.match(line):
            return self.screen.styled(found[0], fg="green") + line[found.end() :]
        return line


def engine_line(job: Job) -> str:
    """One line: the engine, its processor, and why no better engine was taken."""
    model = job.boot.cpu_model or job.choice.engine.default_cpu
    text = f"engine: {job.choice.engine.name} ({model})"
    for name, why in job.choice.passed_over:
        text += f"; not {name}: {why}"
    return plain(text)


def write_verdict(screen: Screen, outcome: Outcome) -> None:
    """The verdict's line; then, unless the run passed, what a person needs to go on."""
    good = outcome.verdict is Verdict.PASSED and outcome.as_expected
    where = f" on {outcome.engine}" if outcome.engine else ""
    text = f"  {plain(outcome.scenario)}{where} in {outcome.seconds:.2f} s"
    if outcome.expected is not Verdict.PASSED:
        wanted = "as this scenario expects"
        text += (
            f", {wanted if outcome.as_expected else f'where {outcome.expected.word} was wanted'}"
        )
    colour = "green" if good else ("yellow" if outcome.as_expected else "red")
    screen.line(screen.styled(outcome.verdict.word, fg=colour, bold=True) + text)
    if good:
        return
    for line in explanation(outcome):
        screen.line(f"  {line}")


def explanation(outcome: Outcome) -> list[str]:
    """The sentence, its evidence, and where the rest is; every line safe for a terminal."""
    lines = [plain(outcome.sentence)]
    lines += [f"  {plain(line)}" for line in outcome.evidence]
    lines += [f"  {plain(line)}" for line in outcome.post_mortem]
    if outcome.directory:
        lines.append(f"run directory: {shown_path(outcome.directory)} (replay.sh runs it again)")
    return lines


def shown_path(path: Path) -> str:
    """A path as short as it can be while it still leads there from the current directory."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def summary(screen: Screen, outcomes: Sequence[Outcome]) -> None:
    """One line over several runs."""
    counts: dict[str, int] = {}
    for outcome in outcomes:
        counts[outcome.verdict.word] = counts.get(outcome.verdict.word, 0) + 1
    screen.line(", ".join(f"{count} {word}" for word, count in counts.items()))
