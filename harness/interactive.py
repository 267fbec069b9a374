"""``--interactive``: the terminal is the machine's console, both ways."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.engines.base import Say, silently
from harness.keyboard import Keyboard
from harness.report.screen import Screen
from harness.runner import execute
from harness.verdict import bad_usage

if TYPE_CHECKING:
    from harness.engines.base import Boot
    from harness.job import Job
    from harness.outcome import Outcome
    from harness.scenario import Scenario


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
        limit = None if endless else job.limit
        return replace(job, choice=choice, limit=limit, attended=True)

    try:
        return execute(connected, outcome, directory=directory, observer=keyboard)
    finally:
        keyboard.close()


def attended(scenario: Scenario) -> Scenario:
    """What to boot of a scenario for a person at its console: nothing is expected but its end.

    Guests that have a shell run it, and the first guest has the console.
    """
    guests = tuple(replace(one, initrd=one.shell or one.initrd) for one in scenario.guests)
    console = f"console={guests[0].name}" if guests else ""
    return replace(
        scenario,
        expectations=(),
        forbid=(),
        endless=False,
        guests=guests,
        append=f"{scenario.append} {console}".strip(),
    )


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
