"""``--interactive``: the terminal is the machine's console, both ways."""

from __future__ import annotations

import os
import sys
import termios
import tty
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.engines.base import Say, silently
from harness.job import Job
from harness.outcome import Outcome
from harness.report.screen import Screen
from harness.report.terminal import Live
from harness.runner import execute
from harness.verdict import bad_usage

if TYPE_CHECKING:
    from harness.engines.base import Boot
    from harness.machine import Machine

LEAVE = b"\x1d"  # Ctrl-], as in telnet
_MOST = 4096  # bytes taken from the keyboard at once


def run(
    planned: Callable[[], Job], outcome: Outcome, directory: Path | None, *, endless: bool
) -> Outcome:
    """Do a job with the keyboard connected; ``endless`` lifts the job's time limit.

    The terminal is restored on every way out. Raises RunEnded BAD_USAGE where there is none.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise bad_usage("--interactive needs a terminal for its input and its output")
    keyboard = Keyboard(Screen(sys.stdout))

    def connected() -> Job:
        job = planned()
        choice = replace(job.choice, engine=Connected(job.choice.engine, keyboard))
        return replace(job, choice=choice, limit=None if endless else job.limit)

    try:
        return execute(connected, outcome, directory=directory, observer=keyboard)
    finally:
        keyboard.restore()


class Keyboard(Live):
    """Shows the console raw, and types into it what comes from the terminal."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(screen, raw=True)
        self._saved: list[Any] | None = None
        self._machine: Machine | None = None

    def fileno(self) -> int:
        """The terminal, for the machine's event loop."""
        return sys.stdin.fileno()

    def started(self, machine: Machine) -> None:
        """Connect the terminal to the machine."""
        self.screen.line("Ctrl-] ends the machine.")
        self._machine = machine
        self._saved = termios.tcgetattr(self.fileno())
        tty.setraw(self.fileno())
        # Keep the terminal's own line ends: the verdict is printed as everything else is.
        now = termios.tcgetattr(self.fileno())
        now[1] |= termios.OPOST
        termios.tcsetattr(self.fileno(), termios.TCSANOW, now)

    def take(self) -> None:
        """Read what was typed, which may be nothing, and send it to the machine."""
        if self._machine is None or not _readable(self.fileno()):
            return
        try:
            typed = os.read(self.fileno(), _MOST)
        except OSError:  # EIO: hung up
            typed = b""
        before, leave, _ = typed.partition(LEAVE)
        if before:
            self._machine.write(before)
        if leave or not typed:  # nothing at all: the terminal has gone
            raise KeyboardInterrupt

    def ended(self, outcome: Outcome) -> None:
        """Give the terminal back, then say what came of it."""
        self.restore()
        super().ended(outcome)

    def restore(self) -> None:
        """Give the terminal back as it was. Idempotent."""
        if self._saved is not None:
            # TCSANOW: whatever ended the run, restoring must not wait for a terminal that is gone.
            with suppress(termios.error):
                termios.tcsetattr(self.fileno(), termios.TCSANOW, self._saved)
            self._saved = None


class Input(Protocol):
    """Something beside the machine that its event loop looks after."""

    def fileno(self) -> int:
        """Readable when `take` has something to do."""

    def take(self) -> None:
        """Do it, without waiting."""


class Connected:
    """An engine whose machines also wake up for an input: the keyboard, or a debugger."""

    def __init__(self, engine: Any, keyboard: Input) -> None:
        self._engine = engine
        self._keyboard = keyboard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def launch(self, boot: Boot, directory: Path, say: Say = silently) -> Any:
        """As `Engine.launch`."""
        return ConnectedRunning(self._engine.launch(boot, directory, say), self._keyboard)


class ConnectedRunning:
    """A running machine whose own event loop serves the keyboard too."""

    _OWN = frozenset({"_running", "_keyboard"})

    def __init__(self, running: Any, keyboard: Input) -> None:
        self._running = running
        self._keyboard = keyboard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._running, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self._running, name, value)

    def wakeups(self) -> tuple[int, ...]:
        """The machine's, and the input's."""
        return (*self._running.wakeups(), self._keyboard.fileno())

    def service(self) -> None:
        """Serve both."""
        self._running.service()
        self._keyboard.take()


def _readable(fd: int) -> bool:
    import select

    return bool(select.select([fd], [], [], 0)[0])
