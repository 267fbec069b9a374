"""A machine under test: one object that watches console, records and engine while it waits."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from harness import explain, rundir
from harness.console import Console, Lines, compile_pattern
from harness.engines.base import (
    Boot,
    End,
    EndKind,
    Engine,
    Running,
    Say,
    Unsupported,
    silently,
)
from harness.hosttime import LOOK_EVERY, HostTime
from harness.records import Record, RecordOrder, Records
from harness.traffic import Traffic
from harness.verdict import RunEnded, Verdict, bad_usage

T = TypeVar("T")

FORBIDDEN: Mapping[str, tuple[str, Verdict]] = {
    # Only at a line's start, where no guest's text can stand: that begins with the guest's name.
    "panic": (r"(?<=\n)\[ *\d+\.\d{6}\] panic: ", Verdict.PANIC),
    "trap": (r"(?<=\n)\[ *\d+\.\d{6}\] trap: ", Verdict.PANIC),
}
MOST_HITS = 100  # forbidden lines kept; the first one decides anyway
_LAST_WORDS = 5.0  # seconds in which, at most, the rest of a panic may still come


class Machine:
    """One machine from power-on to its end. A context: leaving it always kills and reaps.

    Every wait drains console, records and the engine's own channel, and raises RunEnded as soon as
    a verdict is known. Timeouts of waits are for a usual engine: they are stretched by the engine's
    patience; the limit of the machine as a whole is not. Not thread-safe. Logs in ``directory``:
    console.log, records.jsonl, and the engine's.

    ``before_end`` is called when the hypervisor is done and waits for it, as it does where it was
    booted with trace=: then its memory can be read on every engine.
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
        self.engine = engine
        self.boot = boot
        self.directory = directory
        self.running = running
        self.forbidden: dict[str, tuple[str, Verdict]] = dict(FORBIDDEN)
        self.started = time.monotonic()
        self.limit = limit
        self.host = HostTime(running.process.pid)
        self._on_console = on_console
        self._on_record = on_record
        self._expect_build = expect_build
        self._records = Records()
        self._order = RecordOrder()
        self._waits = False  # for `_release`
        self.before_end: Callable[[], object] | None = None
        self._allowed: list[str] = []
        self._hits: list[tuple[str, str]] = []  # (forbidden name, line) that no wait has raised yet
        self._broken: RunEnded | None = None  # found out of turn; the next wait raises it
        self._lines = Lines(self._on_line)
        self.console = Console(self)
        self._traffic = Traffic(running, directory, self._take_console, self._take_records)

    @classmethod
    def start(
        cls,
        engine: Engine,
        boot: Boot,
        directory: Path,
        *,
        on_console: Callable[[bytes], None] | None = None,
        on_record: Callable[[Record], None] | None = None,
        on_progress: Say = silently,
        expect_build: str | None = None,
        limit: float | None = None,
    ) -> Machine:
        """Launch ``boot`` on ``engine``; logs go to ``directory``, which is made if need be.

        ``on_console`` gets raw bytes, ``on_record`` each record, as they come; ``on_progress``
        what the engine says while it gets ready. ``expect_build``: the first record's build id
        must be this one, else STALE_IMAGE. ``limit``: seconds for the machine as a whole, from its
        start; every wait ends at it. Raises RunEnded as ``Engine.launch`` does.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise bad_usage(f"the directory {directory} can't be made: {error.strerror}.") from None
        try:
            running = engine.launch(boot, directory, on_progress)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise bad_usage(
                f"the machine can't be laid out in {directory}: {where}{error.strerror}."
            ) from None
        try:
            return cls(
                engine, boot, directory, running,
                on_console=on_console, on_record=on_record,
                expect_build=expect_build, limit=limit,
            )  # fmt: skip
        except OSError as error:
            running.kill()
            raise rundir.unwritable(directory, error) from None
        except BaseException:
            running.kill()
            raise

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
    def events(self) -> list[dict[str, Any]]:
        """QMP events so far; none where there is no QMP."""
        return list(getattr(self.running, "events", ()))

    @property
    def tail(self) -> tuple[str, ...]:
        """The newest console lines, safe to print."""
        return self._lines.last()

    # Waits

    def expect(self, pattern: str, timeout: float = 10) -> re.Match[str]:
        """Wait up to ``timeout`` seconds until the console's text has ``pattern``; its match.

        Text before the end of the match is consumed. Raises RunEnded with the first verdict known.
        """
        import pexpect

        compiled = compile_pattern(pattern)
        what = f"{pattern!r} appeared on the console"
        self._check()
        timeout *= self.engine.patience
        deadline = time.monotonic() + timeout
        try:
            self.console.expect(compiled, timeout=max(0.0, deadline - time.monotonic()))
        except pexpect.TIMEOUT:
            self._check()
            raise explain.timed_out(self, timeout, what, pattern) from None
        except pexpect.EOF:
            self._check()
            raise explain.ended_before(self, what, pattern) from None
        match = self.console.match
        assert isinstance(match, re.Match)
        return match

    def expect_record(self, kind: str, timeout: float = 10, **where: Any) -> Record:
        """Wait up to ``timeout`` seconds for the next record of ``kind`` that has all of ``where``.

        Next: see `RecordOrder`. Nested objects in ``where`` need only have what is named.
        """

        def found() -> Record | None:
            for index in range(self._order.start(where.get("guest")), len(self.records)):
                if self.records[index].matches(kind, where):
                    self._order.took(where.get("guest"), index)
                    return self.records[index]
                if self.records[index].kind == "panic" and "panic" not in self._allowed:
                    return None  # came first, so it is what this wait ends with
            return None

        details = "".join(f", {key}={value!r}" for key, value in where.items())
        return self._wait_for(found, timeout, f"a {kind!r} record{details} came")

    def wait(self, timeout: float = 10, *, allow: Collection[EndKind] = ()) -> End:
        """Wait up to ``timeout`` seconds for the machine's end.

        A power-off is returned, like every kind in ``allow``, and a panic within
        ``allow("panic")``; another end raises RunEnded.
        """
        end = self._wait_for(lambda: self.end, timeout, "the machine powered off")
        self._raise_hits()
        wanted = {EndKind.POWER_OFF, EndKind.KILLED, *allow}
        if "panic" in self._allowed:
            wanted.add(EndKind.GUEST_PANIC)
        if end.kind in wanted:
            return end
        raise explain.bad_end(self, end)

    @contextlib.contextmanager
    def allow(self, *names: str) -> Iterator[None]:
        """Within this context the forbidden patterns ``names`` are wanted, or at least harmless."""
        for name in names:
            if name not in self.forbidden:
                raise bad_usage(f"no forbidden pattern is called {name!r}.")
        self._allowed.extend(names)
        try:
            yield
        finally:
            for name in names:
                self._allowed.remove(name)
            self._hits = [hit for hit in self._hits if hit[0] not in names]

    def _wait_for(self, found: Callable[[], T | None], timeout: float, what: str) -> T:
        timeout *= self.engine.patience
        deadline = time.monotonic() + timeout
        while True:
            self._raise_broken()
            value = found()
            if value is not None:
                return value
            self._raise_hits()
            if self.finished():
                raise explain.ended_before(self, what)
            if not self.pump(deadline) and found() is None and not self.finished():
                self._check()
                raise explain.timed_out(self, timeout, what)

    def _check(self) -> None:
        """Raise what is known already, except what the console's own text will show in order."""
        self._raise_broken()
        if any(record.kind == "panic" for record in self.records) and not self._console_has_hit():
            self._raise_hits()

    def _console_has_hit(self) -> bool:
        text = self.console.unread()
        return any(re.search(pattern, text) for pattern, _ in self.forbidden_patterns().values())

    def _raise_broken(self) -> None:
        if self._broken is not None:
            raise self._broken

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

    # The console's side of the loop

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

    def finished(self) -> bool:
        """Has the machine ended, with all its output taken in?"""
        return self.end is not None

    def send(self, text: str | bytes) -> None:
        """Type ``text`` on the console; Enter is "\\r"."""
        self.console.send(text)

    def write(self, data: bytes) -> None:
        """Send raw bytes to COM1, in order; they leave as fast as the machine takes them."""
        self._traffic.write(data)

    def write_records(self, data: bytes) -> None:
        """Send raw bytes to COM2, for an image that takes input there."""
        self._traffic.write_records(data)

    def command(self, words: str) -> None:
        """Tell the hypervisor something, on COM2; `hv/core/commands.h` lists what it knows.

        It hears of it at the next end of a guest's slice.
        """
        self._traffic.write_records(words.encode() + b"\n")

    def ask(self, words: str, kind: str, timeout: float = 10) -> Record:
        """Give the hypervisor a command; the record of ``kind`` by which it answers.

        What can be expected is not touched by it. BAD_USAGE if the hypervisor can't answer.
        """
        asked = len(self.records)
        self.command(words)

        def answer() -> Record | None:
            kinds = (kind, "unknown-command")
            return next((r for r in self.records[asked:] if r.kind in kinds), None)

        found = self._wait_for(answer, timeout, f"{words!r} was answered by a {kind!r} record")
        if found.kind != kind:
            raise bad_usage(f"the hypervisor can make nothing of the command {words!r}.")
        return found

    def pump(self, deadline: float) -> bool:
        """Wait for events until ``deadline`` (monotonic seconds) and take in what came.

        False if the deadline passed first, or nothing can come any more.
        """
        while True:
            until = min(deadline, self._ends_at())
            came = self._traffic.pump(min(until, time.monotonic() + LOOK_EVERY))
            if self._waits:
                self._waits = False
                self._release()
            if came:
                return True
            self.host.look()
            if self._traffic.closed or time.monotonic() >= min(deadline, self._ends_at()):
                return False

    def watch(self, deadline: float) -> bool:
        """As `pump`, without regard to the machine's time limit."""
        return self._traffic.pump(deadline)

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

    def _release(self) -> None:
        """The machine has done its work, and waits so that its memory can be read: let it end."""
        try:
            if self.before_end is not None and self.end is None:
                self.before_end()
        finally:
            self.command("power-off")

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
            # Not at once: this is called while output is taken in, and the engine may be busy.
            self._waits = self._waits or (record.kind == "done" and record.get("waits") is True)
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

    # Control, by the engine

    def pause(self) -> None:
        """Stop every CPU. Idempotent."""
        self.running.pause()

    def resume(self) -> None:
        """Let every CPU run on. Idempotent."""
        self.running.resume()

    def reset(self) -> None:
        """Press the reset button: the machine boots again, even one that has shut down.

        What is expected from now on is of the new boot; `records` keeps those of all boots.
        """
        self.running.reset()
        self._traffic.restart()
        self._lines.feed(b"\n")  # ends a line that was cut off
        self.console.forget()
        self._records.restart()
        self._order.restart(len(self.records))
        self.running.resume()

    def nmi(self) -> None:
        """Send a non-maskable interrupt to CPU 0."""
        self.running.nmi()

    def step(self) -> None:
        """Execute one instruction on CPU 0; the machine is paused before and after."""
        self.running.step()

    def registers(self, cpu: int = 0) -> Mapping[str, int]:
        """Register values by lower-case name; the machine is paused."""
        return self.running.registers(cpu)

    def read_physical(self, address: int, length: int) -> bytes:
        """``length`` bytes of physical memory from ``address``."""
        return self.running.read_physical(address, length)

    def read(self, path: str) -> Any:
        """A variable of the hypervisor by name, decoded: `read("vms[0].options.name")`.

        Running, paused, or frozen at its end. See `harness.typed.read` for what comes and what is
        raised.
        """
        from harness import typed

        return typed.read(self.read_physical, self.boot.image, path)

    def write_physical(self, address: int, data: bytes) -> None:
        """Write ``data`` to physical memory at ``address``."""
        self.running.write_physical(address, data)

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Execute a QMP command (underscores in argument names become dashes); what it returns.

        Unsupported where the engine has no QMP. No answer in time: killed, and ENGINE_DIED.
        """
        execute = getattr(self.running, "qmp", None)
        if execute is None:
            raise Unsupported(f"{self.engine.name} has no QMP")
        return execute(command, {key.replace("_", "-"): v for key, v in arguments.items()})

    # The end

    def kill(self) -> None:
        """End the machine now, take in its last output, release everything. Idempotent."""
        if "VANDERPOOL_COVERAGE" in os.environ and not self._traffic.closed:
            from harness import coverage

            coverage.collect(self)
        self._traffic.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
