"""The machine's console (COM1) as a pexpect object, fed by the machine's one event loop."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import pexpect
from pexpect.spawnbase import SpawnBase

from harness.verdict import Verdict

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_LINE_END = re.compile(r"\r*\n|\r+(?!$|[\r\n])")

SEARCHED = 256 * 1024  # characters kept for matching; older text is in the log
WAITING = 1 << 20  # bytes kept while nothing reads the console
LONGEST_LINE = 16 * 1024  # characters; a longer line counts as several


def printable(text: str) -> str:
    """``text`` with every control character shown as an escape, so that no terminal obeys it."""
    return _CONTROL.sub(lambda m: f"\\x{ord(m[0]):02x}", text)


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """``pattern`` compiled; BAD_USAGE if it is not a regular expression."""
    from harness.verdict import bad_usage

    try:
        return re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise bad_usage(f"{pattern!r} is not a regular expression: {error}.") from None


class Loop(Protocol):
    """What the console needs of the machine that it belongs to."""

    def pump(self, deadline: float) -> bool:
        """Wait for events until ``deadline`` (monotonic); False if nothing came."""

    def finished(self) -> bool:
        """Has the machine ended, with all its output taken in?"""

    def write(self, data: bytes) -> None:
        """Send ``data`` to COM1."""

    def forbidden_patterns(self) -> Mapping[str, tuple[str, Verdict]]:
        """What must not appear on the console now, by name."""

    def forbidden_seen(self, name: str) -> None:
        """Called when the forbidden pattern ``name`` came first; raises RunEnded."""


class Console(SpawnBase):  # type: ignore[misc]  # pexpect ships no types
    """pexpect's whole interface over COM1; while it waits, the machine is watched as a whole.

    In each expect(), the machine's forbidden patterns compete with the wanted ones, in the order
    in which the text came.
    """

    def __init__(self, loop: Loop) -> None:
        super().__init__(timeout=10, maxread=65536, encoding="utf-8", codec_errors="replace")
        self.delaybeforesend = None
        self.delayafterread = None
        self.name = "<console>"
        self.closed = False
        self.linesep = "\r"  # what a terminal's Enter key sends
        self._loop = loop
        self._pending: deque[bytes] = deque()
        self._pending_size = 0
        self.dropped = 0  # bytes that came while nothing read, beyond WAITING

    def feed(self, data: bytes) -> None:
        """Console output has come; it stays until an expect() reads it."""
        self._pending.append(data)
        self._pending_size += len(data)
        while self._pending_size > WAITING and len(self._pending) > 1:
            oldest = self._pending.popleft()
            self._pending_size -= len(oldest)
            self.dropped += len(oldest)

    def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> str:
        """Text that has come, waiting up to ``timeout`` seconds; pexpect.EOF, pexpect.TIMEOUT."""
        wait = self.timeout if timeout is None or timeout == -1 else timeout
        deadline = time.monotonic() + float(wait)
        while True:
            if self._pending:
                return self._take()
            if self._loop.finished():
                self.flag_eof = True
                raise pexpect.EOF("the machine has ended")
            if not self._loop.pump(deadline) and not self._pending and not self._loop.finished():
                raise pexpect.TIMEOUT("nothing came in time")

    def _take(self) -> str:
        data = b"".join(self._pending)
        self._pending.clear()
        self._pending_size = 0
        text = cast(str, self._decoder.decode(data, final=False))
        self._log(text, "read")
        if self._buffer.tell() > SEARCHED:
            # Only the newest half stays: searching must not get slower with every byte.
            kept = self._buffer.getvalue()[-SEARCHED // 2 :]
            self.buffer = kept
            self._before = self.buffer_type()
            self._before.write(kept)
        return text

    def unread(self) -> str:
        """What came and no expect() has consumed yet; nothing is consumed by asking."""
        if self._pending:
            text = self._take()
            self._buffer.write(text)
            self._before.write(text)
        return cast(str, self._before.getvalue())

    def forget(self) -> None:
        """Consume all that has come: what is expected from now on comes later."""
        self.unread()
        self.buffer = self.string_type()
        self._before = self.buffer_type()

    def expect_list(
        self,
        pattern_list: list[Any],
        timeout: float | None = -1,
        searchwindowsize: int | None = -1,
        async_: bool = False,
        **kw: Any,
    ) -> int:
        """As pexpect's; the machine's forbidden patterns compete."""
        forbidden = self._loop.forbidden_patterns()
        names = list(forbidden)
        compiled = [compile_pattern(forbidden[name][0]) for name in names]
        index = cast(
            int,
            super().expect_list(
                [*pattern_list, *compiled], timeout, searchwindowsize, async_, **kw
            ),
        )
        if index >= len(pattern_list):
            self._loop.forbidden_seen(names[index - len(pattern_list)])
        return index

    def send(self, s: str | bytes) -> int:
        """Send text or raw bytes to the machine; the number of bytes."""
        data = s if isinstance(s, bytes) else s.encode("utf-8", "surrogateescape")
        self._log(data.decode("utf-8", "replace"), "send")
        self._loop.write(data)
        return len(data)

    def sendline(self, s: str = "") -> int:
        """Send ``s`` and Enter; the number of bytes."""
        return self.send(s + self.linesep)

    def isalive(self) -> bool:
        """Is the machine still there?"""
        return not self._loop.finished()

    def close(self) -> None:
        """Nothing to do: the machine owns the line."""


class Lines:
    """Splits console output into lines as they are completed, for whoever looks at each once."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._partial = ""
        self.tail: deque[str] = deque(maxlen=20)

    def feed(self, data: bytes) -> None:
        """Take in raw console output."""
        text = self._partial + data.decode("utf-8", "replace")
        # Kernels end lines in \r\n, in \n, and in \r; a \r at the very end may be half of one.
        *lines, self._partial = _LINE_END.split(text)
        if len(self._partial) > LONGEST_LINE:
            lines.append(self._partial)
            self._partial = ""
        for line in lines:
            if line:
                line = line[:LONGEST_LINE]
                self.tail.append(printable(line))
                self._on_line(line)

    def last(self) -> tuple[str, ...]:
        """The newest lines, safe to print; an unfinished one included."""
        unfinished = self._partial.rstrip("\r")
        partial = (printable(unfinished),) if unfinished.strip() else ()
        return (*self.tail, *partial)
