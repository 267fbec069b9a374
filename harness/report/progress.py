"""One line for each scenario that runs: what it does now, in place; then its verdict."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from harness.job import Job
from harness.observer import Silent
from harness.outcome import Outcome
from harness.report.screen import Screen
from harness.report.terminal import write_verdict
from harness.report.text import Cleaner, plain

if TYPE_CHECKING:
    from rich.live import Live

_REDRAW = 0.1  # seconds


class Progress(Silent):
    """An observer of several runs, one after the other.

    On a terminal a line shows the scenario, its engine, the time, and the newest line of its
    console; elsewhere (in CI) there is nothing but the verdicts.
    """

    def __init__(self, screen: Screen, name: str) -> None:
        self.screen = screen
        self._name = name
        self._engine = ""
        self._cleaner = Cleaner()
        self._text = ""
        self._partial = ""
        self._began = time.monotonic()
        self._drawn = 0.0
        self._live: Live | None = None
        if screen.stream.isatty():
            from rich.console import Console
            from rich.live import Live

            console = Console(file=screen.stream, highlight=False, no_color=not screen.colours)
            # Drawn when something comes, by this thread: the emulator's death signal and a fork
            # want a process that has no others.
            self._live = Live("", console=console, auto_refresh=False, transient=True)
            self._live.start()
            self._draw(anew=True)

    def chosen(self, job: Job) -> None:
        """An engine was chosen."""
        self._engine = job.choice.engine.name
        self._draw(anew=True)

    def console(self, data: bytes) -> None:
        """Keep the newest line that is whole and has something on it."""
        *lines, self._partial = (self._partial + self._cleaner.feed(data)).split("\n")
        self._partial = self._partial[-400:]
        self._text = next((line for line in reversed(lines) if line.strip()), self._text)[:400]
        self._draw()

    def ended(self, outcome: Outcome) -> None:
        """Replace the line by the verdict."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        write_verdict(self.screen, outcome)

    def _draw(self, *, anew: bool = False) -> None:
        now = time.monotonic()
        if self._live is None or (not anew and now - self._drawn < _REDRAW):
            return
        from rich.text import Text

        self._drawn = now
        words = f"{plain(self._name):<24} {self._engine:<10} {now - self._began:5.1f} s  "
        line = Text(words, style="bold", no_wrap=True, overflow="ellipsis", end="")
        line.append(plain(self._text.strip()), style="dim")
        self._live.update(line, refresh=True)
