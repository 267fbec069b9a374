"""A machine under test: one object that watches console, records and engine while it waits."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from harness import explain, rundir
from harness.console import compile_pattern
from harness.engines.base import Boot, End, EndKind, Engine, Say, silently
from harness.records import Record
from harness.verdict import bad_usage
from harness.watched import Watched

T = TypeVar("T")


class Machine(Watched):
    """One machine from power-on to its end. A context: leaving it always kills and reaps.

    Every wait drains console, records and the engine's own channel, and raises RunEnded as soon as
    a verdict is known. Timeouts of waits are for a usual engine: they are stretched by the engine's
    patience; the limit of the machine as a whole is not. Not thread-safe. Logs in ``directory``:
    console.log, records.jsonl, and the engine's.

    ``at_crash`` is called while the machine stands still at a guest's crash, which it does where
    the hypervisor was booted with crash=freeze; then it goes on by itself.
    """

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

    def await_freeze(self, timeout: float = 10) -> None:
        """Wait up to ``timeout`` seconds until the machine stands still at a guest's crash, whose
        record came last, and goes on again; or for its end. Not at all where it does not freeze.
        """
        last = self.records[-1] if self.records else None
        deadline = time.monotonic() + timeout * self.engine.patience
        if last is not None and last.get("freezes") is True:
            thawed = self.thawed
            while self.end is None and self.thawed == thawed and self.pump(deadline):
                pass

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

    # Its boots, and its end

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
