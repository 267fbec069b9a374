"""When a run's machine is looked at: at the moment that decided it, if it still stands there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.judge import Judge
    from harness.machine import Machine
    from harness.outcome import Outcome
    from harness.verdict import RunEnded


class Autopsy:
    """The post-mortem of one run: once, at its end, or where an unwanted crash has frozen it.

    A guest that crashed is taken apart before the machine comes to its end. The page for people is
    in ``outcome``, the whole report in the run directory.
    """

    def __init__(self, machine: Machine, judge: Judge | None, outcome: Outcome) -> None:
        self._machine = machine
        self._judge = judge
        self._outcome = outcome
        self._done: RunEnded | None = None

    def at_crash(self) -> None:
        """The machine stands still at a guest's crash: look, if it is that which decides."""
        decided = self._judge.decided if self._judge else None
        crash = self._machine.records[-1].data
        if self._done is None and decided is not None and decided.facts == crash:
            self._look(decided)

    def at_end(self, ended: RunEnded) -> None:
        """The run has ended so: look at the machine, unless that is done."""
        if self._done is None or ended.facts is not self._done.facts:
            self._look(ended)

    def _look(self, ended: RunEnded) -> None:
        from harness import postmortem

        if ended.verdict is self._outcome.expected:
            return
        self._done = ended
        found = postmortem.examine(self._machine, ended)
        if found is not None:
            found.write(self._machine.directory)
            self._outcome.post_mortem = found.page()
