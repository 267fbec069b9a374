"""The one event loop of a machine: both serial lines, the engine's own channel, its end."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from pathlib import Path

from harness import rundir
from harness.engines.base import End, EndKind, Running
from harness.engines.line import Line, write_fileno
from harness.verdict import RunEnded, bad_usage

LONGEST_LOG = 64 << 20  # bytes of console or records kept on disk
LONGEST_INPUT = 1 << 20  # bytes waiting to be taken by the machine
_CHUNK = 1 << 16
_CHUNKS = 64  # taken from one line before the other gets its turn


class _Log:
    """A log file with a bound, so that a flood can't fill the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb", buffering=0)
        self._left = LONGEST_LOG

    def write(self, data: bytes) -> None:
        """Keep ``data``. RunEnded BAD_USAGE if it can't be kept, once: then nothing is any more."""
        if self._left <= 0:
            return
        try:
            self._write_all(data[: self._left])
            self._left -= len(data)
            if self._left <= 0:
                self._write_all(b"\n[the harness keeps no more of this]\n")
        except OSError as error:
            self._left = 0
            raise rundir.unwritable(self._path.parent, error) from None

    def _write_all(self, data: bytes) -> None:
        while data:  # a nearly full disk takes a part
            data = data[self._file.write(data) :]

    def close(self) -> None:
        self._file.close()


class Traffic:
    """Moves bytes between a running machine and whoever looks at them; notices its end.

    ``on_console`` and ``on_records`` get raw bytes as they come; console.log and records.jsonl in
    ``directory`` keep them. ``is_frozen`` tells what an engine takes for an end from one, once all
    that was written before has been taken in.
    """

    def __init__(
        self,
        running: Running,
        directory: Path,
        on_console: Callable[[bytes], None],
        on_records: Callable[[bytes], None],
        is_frozen: Callable[[End], bool] = lambda _: False,
    ) -> None:
        self.end: End | None = None
        self.frozen = False  # it stands still, and may go on
        self.closed = False
        self.when_taken: Callable[[], None] | None = None  # all that waited on COM1 is on its way
        self._running = running
        self._is_frozen = is_frozen
        self._input = {running.console: bytearray(), running.records: bytearray()}
        self._takers = {running.console: on_console, running.records: on_records}
        self._logs = {
            running.console: _Log(directory / "console.log"),
            running.records: _Log(directory / "records.jsonl"),
        }
        self._open = set(self._takers)
        # Kept, since an engine that was given up has closed its lines.
        self._descriptors = {line: (line.fileno(), write_fileno(line)) for line in self._open}
        self._selector = selectors.DefaultSelector()
        for line in self._open:
            line.setblocking(False)
            self._watch(line)
        self._wakeups = running.wakeups()
        for fd in self._wakeups:
            self._selector.register(fd, selectors.EVENT_READ)
        running.idle = self.drain  # an engine that waits for its own channel lets serial flow

    def pump(self, deadline: float) -> bool:
        """Wait for events until ``deadline`` (monotonic seconds) and take in what came.

        False if the deadline passed first, or nothing can come any more.
        """
        if self.closed:
            return False
        left = deadline - time.monotonic()
        ready = self._selector.select(None if left == float("inf") else max(0.0, left))
        for key, mask in ready:
            if key.data is None:
                self._running.service()
                continue
            if mask & selectors.EVENT_WRITE:
                self._flush(key.data)
            if mask & selectors.EVENT_READ:
                self._receive(key.data)
        self._notice_end()
        return bool(ready)

    def drain(self) -> None:
        """Take in what has come on both serial lines, without waiting."""
        for line in tuple(self._open):
            for _ in range(_CHUNKS):
                if line not in self._open or not self._receive(line):
                    break

    def go_on(self) -> None:
        """Let a frozen machine run on."""
        self.frozen = False
        self._running.go_on()

    def write(self, data: bytes) -> None:
        """Send raw bytes to COM1, in order; they leave as fast as the machine takes them."""
        self._write(self._running.console, data)

    @property
    def waiting(self) -> int:
        """How many bytes wait until the machine takes them on COM1."""
        return len(self._input[self._running.console])

    def write_records(self, data: bytes) -> None:
        """Likewise, to COM2."""
        self._write(self._running.records, data)

    def _write(self, line: Line, data: bytes) -> None:
        waiting = self._input[line]
        if len(waiting) + len(data) > LONGEST_INPUT:
            raise bad_usage(f"more than {LONGEST_INPUT} bytes wait for the machine to read them.")
        if self.end is None and line in self._open:
            waiting += data
            self._flush(line)

    def replay(self, console: bytes, records: bytes) -> None:
        """Take in what a machine had written that this one goes on from."""
        for line, data in ((self._running.console, console), (self._running.records, records)):
            self._logs[line].write(data)
            self._takers[line](data)

    def restart(self) -> None:
        """A new boot begins: it has not ended, and input that the old one did not read is void."""
        if self.end is not None:
            for fd in self._wakeups:
                self._selector.register(fd, selectors.EVENT_READ)
        self.end = None
        for waiting in self._input.values():
            waiting.clear()

    def close(self) -> None:
        """Take in the last output, end the machine, release everything. Idempotent."""
        if self.closed:
            return
        try:
            self._running.service()
            self._notice_end()
        except RunEnded:
            pass  # the first verdict counts
        finally:
            self.closed = True
            self._running.kill()
            self._selector.close()
            for log in self._logs.values():
                log.close()
            if self.end is None:
                self.end = self._running.end() or End(EndKind.KILLED)

    def _notice_end(self) -> None:
        if self.end is not None:
            return
        end = self._running.end()
        if end is None:
            return
        # What the machine wrote before its end is in the sockets by now: take it in first.
        self.drain()
        self.frozen = self._is_frozen(end)
        if self.frozen:
            return
        self.end = end
        for fd in self._wakeups:  # a process's end would wake us for ever
            self._selector.unregister(fd)

    def _flush(self, line: Line) -> None:
        waiting = self._input[line]
        if line not in self._open:
            waiting.clear()
            return
        try:
            while waiting:
                del waiting[: line.send(waiting[:_CHUNK])]
        except BlockingIOError:
            pass
        except OSError:
            waiting.clear()
        self._watch(line)
        if not waiting and line is self._running.console and self.when_taken is not None:
            self.when_taken()

    def _watch(self, line: Line) -> None:
        """Wait for what comes on a line, and for room in it where something waits to be sent."""
        reader, writer = self._descriptors[line]
        events = dict.fromkeys((reader, writer), 0)  # one descriptor, where the line is a socket
        if line in self._open:
            events[reader] |= selectors.EVENT_READ
        if self._input[line]:
            events[writer] |= selectors.EVENT_WRITE
        for fd, wanted in events.items():
            if fd in self._selector.get_map():
                self._selector.unregister(fd)
            if wanted:
                self._selector.register(fd, wanted, line)

    def _receive(self, line: Line) -> bool:
        try:
            data = line.recv(_CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._open.discard(line)
            self._input[line].clear()
            self._watch(line)
            return False
        self._logs[line].write(data)
        self._takers[line](data)
        return True
