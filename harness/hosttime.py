"""How much of its time the host kept an emulator from running: stopped, or waiting for a CPU."""

from __future__ import annotations

import time
from pathlib import Path

LOOK_EVERY = 0.25  # seconds; how exactly it is known how long a process was stopped

# How far a time limit is extended, in limits. A process that is stopped may stay so for ever; one
# that waits for a processor gets on, if slowly.
_MOST_STOPPED = 1
_MOST_WAITED = 9


def processor_seconds(pid: int, proc: Path = Path("/proc")) -> float:
    """Seconds for which a process's threads have had a processor: those that it still has."""
    return sum(ns for ns, _ in _schedstats(proc / str(pid)).values()) / 1e9


def _schedstats(process: Path) -> dict[str, tuple[int, int]]:
    """Nanoseconds on a processor and waiting for one, by thread; empty where Linux counts none."""
    found: dict[str, tuple[int, int]] = {}
    try:
        threads = list((process / "task").iterdir())
    except OSError:
        return found
    for thread in threads:
        try:
            ran, waited = (thread / "schedstat").read_text().split()[:2]
            found[thread.name] = int(ran), int(waited)
        except (OSError, ValueError):
            continue  # it ended, or this kernel does not count
    return found


class HostTime:
    """Watches one process from now on.

    An emulator whose machine idles sleeps, and uses no CPU time of its own free will. So it is not
    asked how much CPU time it got, but how long it was held up: stopped by a signal (seen by
    looking at its state, so call `look` often), or runnable without a processor, which Linux counts
    (the run delay in /proc/PID/task/*/schedstat, Documentation/scheduler/sched-stats.rst).
    """

    def __init__(self, pid: int, proc: Path = Path("/proc")) -> None:
        self._process = proc / str(pid)
        self._delay_before = self._delays()
        self._looked = time.monotonic()
        self._was_stopped = False
        self.stopped = 0.0  # seconds, as far as `look` has seen

    def look(self) -> None:
        """Note whether the process is stopped now; time counts if it was so at both ends."""
        now = time.monotonic()
        is_stopped = self.is_stopped()
        if is_stopped and self._was_stopped:
            self.stopped += now - self._looked
        self._was_stopped, self._looked = is_stopped, now

    def is_stopped(self) -> bool:
        """Whether a signal has stopped the process, so that it can answer nothing."""
        return self._state() in ("T", "t")

    @property
    def waited(self) -> float:
        """Seconds for which a thread could have run and got no processor: the worst thread's."""
        delays = self._delays()
        waits = [delay - self._delay_before.get(thread, 0) for thread, delay in delays.items()]
        return max((0, *waits)) / 1e9

    def allowance(self, limit: float) -> float:
        """Seconds by which a time limit of ``limit`` seconds is extended for what was lost."""
        self.look()
        stopped = min(self.stopped, _MOST_STOPPED * limit)
        return stopped + min(self.waited, _MOST_WAITED * limit)

    def starved(self, limit: float) -> bool:
        """Whether even the most that a limit is extended was not enough."""
        return self.stopped > _MOST_STOPPED * limit or self.waited > _MOST_WAITED * limit

    def _state(self) -> str:
        try:
            return (self._process / "stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            return ""

    def _delays(self) -> dict[str, int]:
        return {thread: waited for thread, (_, waited) in _schedstats(self._process).items()}
