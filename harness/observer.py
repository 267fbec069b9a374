"""Who watches a run while it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from harness.job import Job
    from harness.machine import Machine
    from harness.outcome import Outcome
    from harness.records import Record
    from harness.verdict import RunEnded


class Observer(Protocol):
    """Watches a run while it goes on; every method may do nothing."""

    def chosen(self, job: Job) -> None:
        """An engine was chosen; the machine has not started."""

    def progress(self, text: str) -> None:
        """What the engine does until the machine can start, where that takes long."""

    def started(self, machine: Machine) -> None:
        """The machine has started."""

    def console(self, data: bytes) -> None:
        """Console bytes, raw, as they arrive: hostile, since guests write them."""

    def record(self, record: Record) -> None:
        """A record, as it arrives."""

    def decided(self, machine: Machine, ended: RunEnded | None) -> None:
        """The verdict is known (None: passed), and the machine still stands; it is killed then."""

    def ended(self, outcome: Outcome) -> None:
        """The run is over."""


class Silent:
    """An observer that does nothing; others extend it."""

    def chosen(self, job: Job) -> None:
        """Do nothing."""

    def progress(self, text: str) -> None:
        """Do nothing."""

    def started(self, machine: Machine) -> None:
        """Do nothing."""

    def console(self, data: bytes) -> None:
        """Do nothing."""

    def record(self, record: Record) -> None:
        """Do nothing."""

    def decided(self, machine: Machine, ended: RunEnded | None) -> None:
        """Do nothing."""

    def ended(self, outcome: Outcome) -> None:
        """Do nothing."""
