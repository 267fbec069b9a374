"""A machine that is listened to: one loop takes in console, records and the engine's channel."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from harness import explain
from harness.console import Console, Lines, compile_pattern
from harness.controlled import Controlled
from harness.engines.base import Boot, End, EndKind, Engine, Running
from harness.hosttime import LOOK_EVERY, HostTime
from harness.records import Record, RecordOrder, Records
from harness.traffic import Traffic
from harness.verdict import RunEnded, Verdict

FORBIDDEN: Mapping[str, tuple[str, Verdict]] = {
    # Only at a line's start, where no guest's text can stand: that begins with the guest's name.
    "panic": (r"(?<=\n)\[ *\d+\.\d{6}\] panic: ", Verdict.PANIC),
    "trap": (r"(?<=\n)\[ *\d+\.\d{6}\] trap: ", Verdict.PANIC),
}
MOST_HITS = 100  # forbidden lines kept; the first one decides anyway
_LOOK_FOR_TICK_EVERY = 0.01  # seconds, where an engine can't stop at a tick by itself
_LAST_WORDS = 5.0  # seconds in which, at most, the rest of a panic may still come


class Watched(Controlled):
    """What a machine says, kept in order, and what of it is forbidden.

    `harness.machine.Machine` adds the waits, and says what is what.
    """

    def __init__(
        self,
        engine: Engine,
        boot: Boot,
        directory: Path,
        running: Running,
        *,
        on_console: Callable[[bytes], None] | None = None,
        on_record: Callable[[Record], None] | None = None,
        expect_build: str | None = None,
        limit: float | None = None,
    ) -> None:
        super().__init__(engine, boot, running)
        self.directory = directory
        self.forbidden: dict[str, tuple[str, Verdict]] = dict(FORBIDDEN)
        self.started = time.monotonic()
        self.limit = limit
        self.host = HostTime(running.process.pid)
        self._on_console = on_console
        self._on_record = on_record
        self._expect_build = expect_build
        self._records = Records()
        self._order = RecordOrder()
        self.thawed = 0  # so often it went on after a guest's crash had frozen it
        self.at_crash: Callable[[], object] | None = None
        self._allowed: list[str] = []
        self._hits: list[tuple[str, str]] = []  # (forbidden name, line) that no wait has raised yet
        self._broken: RunEnded | None = None  # found out of turn; the next wait raises it
        self._lines = Lines(self._on_line)
        self.console = Console(self)
        self._traffic = Traffic(
            running, directory, self._take_console, self._take_records, self._is_frozen
        )

    # What has come so far

    @property
    def end(self) -> End | None:
        """How the machine ended; None while it has not, or no one has looked."""
        return self._traffic.end

    @property
    def records(self) -> list[Record]:
        """All records so far, in order."""
        return self._records.all

    @property
    def problems(self) -> list[str]:
        """What was wrong on the records port: lines that are no records, gaps in the sequence."""
        return self._records.problems

    @property
    def tail(self) -> tuple[str, ...]:
        """The newest console lines, safe to print."""
        return self._lines.last()

    def finished(self) -> bool:
        """Has the machine ended, with all its output taken in?"""
        return self.end is not None

    # What is forbidden

    def forbidden_patterns(self) -> Mapping[str, tuple[str, Verdict]]:
        """The forbidden patterns that count now, by name."""
        return {k: v for k, v in self.forbidden.items() if k not in self._allowed}

    def forbidden_seen(self, name: str) -> None:
        """The console came upon ``name`` first: complete the line and raise its verdict."""
        before = str(self.console.before or "")
        start = before[before.rfind("\n") + 1 :] + str(self.console.after or "")
        deadline = time.monotonic() + _LAST_WORDS * self.engine.patience
        while "\n" not in self.console.unread() and not self.finished():
            if not self.pump(deadline):
                break
        line = start + self.console.unread().split("\n", 1)[0].rstrip("\r")
        self._hits = [hit for hit in self._hits if hit[0] != name]
        self._raise_forbidden(name, line)

    def _raise_hits(self) -> None:
        for name, line in self._hits:
            if name not in self._allowed and name in self.forbidden:
                self._hits.remove((name, line))
                self._raise_forbidden(name, line)

    def _raise_forbidden(self, name: str, line: str) -> None:
        verdict = self.forbidden[name][1]
        if verdict is Verdict.PANIC:
            # The record with the stack comes after the console's line: give it a moment.
            deadline = time.monotonic() + _LAST_WORDS * self.engine.patience
            while not self.finished() and not any(r.kind == "panic" for r in self.records):
                if not self.pump(deadline):
                    break
            raise explain.panicked(self, line)
        raise explain.forbidden(self, name, line, verdict)

    # What is said to it

    def send(self, text: str | bytes) -> None:
        """Type ``text`` on the console; Enter is "\\r"."""
        self.console.send(text)

    def write(self, data: bytes) -> None:
        """Send raw bytes to COM1, in order; they leave as fast as the machine takes them."""
        self._traffic.write(data)

    @property
    def waiting(self) -> int:
        """How many bytes that were sent to COM1 have not left yet."""
        return self._traffic.waiting

    def when_taken(self, call: Callable[[], None]) -> None:
        """``call`` whenever all that was sent to COM1 has left."""
        self._traffic.when_taken = call

    def write_records(self, data: bytes) -> None:
        """Send raw bytes to COM2, for an image that takes input there."""
        self._traffic.write_records(data)

    def command(self, words: str) -> None:
        """Tell the hypervisor something, on COM2; `hv/core/commands.h` lists what it knows.

        It hears of it at the next end of a guest's slice.
        """
        self._traffic.write_records(words.encode() + b"\n")

    # The loop

    def pump(self, deadline: float) -> bool:
        """Wait for events until ``deadline`` (monotonic seconds) and take in what came.

        False if the deadline passed first, or nothing can come any more.
        """
        while True:
            until = min(deadline, self._ends_at())
            look = LOOK_EVERY if self.boot.until_tick is None else _LOOK_FOR_TICK_EVERY
            came = self._traffic.pump(min(until, time.monotonic() + look))
            self._thaw()
            if came:
                return True
            self.host.look()
            if self._traffic.closed or time.monotonic() >= min(deadline, self._ends_at()):
                return False

    def watch(self, deadline: float) -> bool:
        """As `pump`, without regard to the machine's time limit."""
        came = self._traffic.pump(deadline)
        self._thaw()
        return came

    def _ends_at(self) -> float:
        """When (monotonic seconds) the time limit has passed.

        What the host kept from the emulator is added, within bounds.
        """
        if self.running.at_tick:
            return self.started  # a replay has come to where the limit passed
        if self.limit is None:
            return float("inf")
        end = self.started + self.limit
        if time.monotonic() < end:
            return end
        return end + self.host.allowance(self.limit)

    def _is_frozen(self, end: End) -> bool:
        """Whether it was a guest's crash that stopped the machine, rather than its end."""
        stopped = end.kind in (EndKind.POWER_OFF, EndKind.GUEST_PANIC)
        last = self.records[-1] if self.records else None
        crashed = last is not None and last.kind == "crash" and last.get("freezes") is True
        return stopped and crashed and self.running.process.poll() is None

    @property
    def frozen(self) -> bool:
        """Whether it stands still at a guest's crash."""
        return self._traffic.frozen

    def _thaw(self) -> None:
        """A machine that a guest's crash has frozen goes on, once it has been looked at."""
        if self._traffic.frozen:
            since = time.monotonic()
            if self.at_crash is not None:
                self.at_crash()
            self.started += time.monotonic() - since  # that time is not the machine's
            self._traffic.go_on()
            self.thawed += 1

    def drain(self) -> None:
        """Take in what has come, without waiting: of a paused machine, all that it has written."""
        self._traffic.drain()

    def replay(self, console: bytes, records: bytes) -> None:
        """Take in what a machine had written that this one goes on from."""
        self._traffic.replay(console, records)

    def _take_console(self, data: bytes) -> None:
        self._lines.feed(data)
        self.console.feed(data)
        if self._on_console is not None:
            self._on_console(data)

    def _take_records(self, data: bytes) -> None:
        for record in self._records.feed(data):
            if record.seq == 0 and self._expect_build and record.get("build") != self._expect_build:
                self._broken = self._broken or explain.stale(self, record, self._expect_build)
            if record.kind == "panic" and len(self._hits) < MOST_HITS:
                self._hits.append(("panic", str(record.get("message", ""))))
            if self._on_record is not None:
                self._on_record(record)

    def _on_line(self, line: str) -> None:
        for name, (pattern, _) in self.forbidden.items():
            compiled = compile_pattern(pattern)
            found = compiled.search(line) or compiled.search("\n" + line)
            if found and len(self._hits) < MOST_HITS:
                self._hits.append((name, line))
