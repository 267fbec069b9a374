"""The host's half of the protocol that harness/appliance/inside/serve.c answers.

Requests and answers are lines; the agent's start with "@". Whatever else comes over the control
line is the kernel's console. A block of bytes follows a request only after the agent has asked for
it, so a refused one leaves nothing behind.

    put NAME BYTES CRC32      @send, the bytes, @ok       a file into the store
    have NAME                 @yes BYTES | @no
    drop NAME                 @ok                         out of the store
    link RUN WORD NAME        @ok                         WORD in the run's working directory
    run RUN BYTES             @send, argv, @started RUN   NUL-ended strings
    kill RUN                  @ok
    get RUN PATH              @data BYTES CRC32, bytes    a file that the run left behind
    forget RUN                @ok                         the run's directory, with all in it

Any request may be answered by "@error TEXT". By themselves come "@log TEXT", a line of what the run
printed, and "@ended RUN exit|signal NUMBER", once all that it wrote to the data ports has gone out.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness import supervise
from harness.verdict import RunEnded, Verdict

ANSWER_WITHIN = 60.0  # seconds, on a busy host; a dead appliance is noticed at once
SLOWEST = 5_000  # bytes a second over the control line, on a busy host
MOST_LINES = 1000  # of a log or console that are kept
LONGEST_LINE = 1024  # bytes
VERSION = 1


@dataclass(frozen=True)
class Ended:
    """How a run ended: ``kind`` is "exit" or "signal"."""

    run: str
    kind: str
    number: int


@dataclass(frozen=True)
class Ready:
    """What the agent says of itself when it begins to serve."""

    version: int
    kernel: str
    ticks: int  # instructions that Bochs has emulated since power-on


class Refused(RunEnded):
    """The agent answered "@error"; the sentence has its words."""

    def __init__(self, text: str) -> None:
        super().__init__(Verdict.ENGINE_DIED, f"the appliance refuses a request: {text}.")


class Agent:
    """The agent behind ``control``; every call has a deadline: RunEnded if it is gone."""

    def __init__(self, control: socket.socket) -> None:
        self.log: deque[str] = deque(maxlen=MOST_LINES)  # what the current run printed
        self.console: deque[str] = deque(maxlen=MOST_LINES)  # what the kernel printed
        self.ready: Ready | None = None
        self.ended: Ended | None = None  # the current run's end
        # While a call waits: what else to wake up for, and what to do then.
        self.also: Callable[[], Iterable[int]] = tuple
        self.idle: Callable[[], None] = _nothing
        control.setblocking(False)
        self._control = control
        self._held = bytearray()
        self._answers: deque[list[str]] = deque()
        self._block: bytearray | None = None  # what comes after "@data"
        self._left = 0
        self._gone = False

    def fileno(self) -> int:
        """Readable when `service` has something to do."""
        return self._control.fileno()

    def service(self) -> None:
        """Take in what came, without waiting: log lines, console text, a run's end."""
        with contextlib.suppress(BlockingIOError):
            while not self._gone:
                data = self._receive()
                self._gone = not data
                self._held += data
                self._digest()

    def _receive(self) -> bytes:
        try:
            return self._control.recv(1 << 16)
        except ConnectionError:
            return b""

    def _digest(self) -> None:
        """Split what was read into lines, and blocks of bytes where they are due."""
        at = 0
        while at < len(self._held):
            if self._block is not None and self._left:
                part = self._held[at : at + self._left]
                self._block += part
                self._left -= len(part)
                at += len(part)
                continue
            end = self._held.find(b"\n", at)
            if end < 0:
                if len(self._held) - at <= LONGEST_LINE:
                    break
                end = at + LONGEST_LINE
            self._line(self._held[at:end].decode("utf-8", "replace").rstrip("\r"))
            at = end + (self._held[end : end + 1] == b"\n")
        del self._held[:at]

    def _line(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        fields = rest.split(" ")
        if not word.startswith("@"):
            if line:
                self.console.append(line)
        elif word == "@log":
            self.log.append(rest)
        elif word == "@ended" and len(fields) == 3 and fields[2].isdigit():
            self.ended = Ended(fields[0], fields[1], int(fields[2]))
        elif word == "@ready" and len(fields) == 3 and fields[0].isdigit() and fields[2].isdigit():
            self.ready = Ready(int(fields[0]), fields[1], int(fields[2]))
        elif word == "@failed":
            self.console.append(rest)
            raise self.dead(f"the appliance can't work: {rest}")
        elif word == "@data" and len(fields) == 2 and fields[0].isdigit() and self._block is None:
            self._block, self._left = bytearray(), int(fields[0])
            self._answers.append([word, *fields])
        else:
            self._answers.append([word, rest])

    def dead(self, why: str) -> RunEnded:
        """The exception for an appliance that can't go on, with its console's tail."""
        return RunEnded(
            Verdict.ENGINE_DIED, f"{why.rstrip('.')}.", evidence=tuple(self.console)[-12:]
        )

    def wait(self, until: Callable[[], bool], seconds: float, what: str) -> None:
        """Serve the line until ``until()``; RunEnded after ``seconds`` without ``what``."""
        deadline = time.monotonic() + seconds
        self.service()
        while not until():
            if self._gone:
                raise self.dead("the appliance ended by itself")
            left = deadline - time.monotonic()
            if left <= 0:
                raise self.dead(f"the appliance gave {what} within {seconds:g} s")
            supervise.readable((self.fileno(), *self.also()), left)
            self.idle()
            self.service()

    def _send(self, data: bytes) -> None:
        deadline = time.monotonic() + ANSWER_WITHIN + len(data) / SLOWEST
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._control.send(rest) :]
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0:
                    why = "the appliance has stopped to read its control line"
                    raise self.dead(why) from None
                select.select((), (self._control,), (), left)
            except OSError:
                raise self.dead("the appliance ended by itself") from None

    def _request(self, *words: str) -> list[str]:
        if any(not word or set(word) & set(" \n\r\0") for word in words[1:]):
            raise Refused(f"a word of {words} is empty, or has a blank in it")
        self._answers.clear()
        self._send(" ".join(words).encode("utf-8", "surrogateescape") + b"\n")
        return self._answer()

    def _answer(self, size: int = 0) -> list[str]:
        """The answer to a request, for which ``size`` bytes are still on their way."""
        seconds = ANSWER_WITHIN + size / SLOWEST
        self.wait(lambda: bool(self._answers), seconds, "no answer")
        answer = self._answers.popleft()
        if answer[0] == "@error":
            raise Refused(answer[1])
        return answer

    def _request_with(self, data: bytes, *words: str) -> None:
        self._request(*words)
        self._send(data)
        self._answer(len(data))

    def put(self, name: str, data: bytes) -> None:
        """Bring ``data`` into the appliance's store as ``name``; Refused if there is no room."""
        self._request_with(data, "put", name, str(len(data)), f"{zlib.crc32(data):08x}")

    def have(self, name: str) -> int | None:
        """The size (bytes) of ``name`` in the store, or None if it isn't there."""
        word, rest = self._request("have", name)
        return int(rest) if word == "@yes" else None

    def drop(self, name: str) -> None:
        """Remove ``name`` from the store."""
        self._request("drop", name)

    def link(self, run: str, word: str, name: str) -> None:
        """Let ``run`` find the store's ``name`` as ``word`` (absolute, or in its directory)."""
        self._request("link", run, word, name)

    def run(self, run: str, argv: Sequence[str], ports: Iterable[socket.socket]) -> None:
        """Start a program; ``ports`` are the data ports' sockets, on which nothing is under way.

        Bytes sent to them before this are thrown away, those sent after it reach the program.
        """
        strings = b"".join(word.encode("utf-8", "surrogateescape") + b"\0" for word in argv)
        for port in ports:
            port.sendall(f"\n@{run}\n".encode())
        self.log.clear()
        self.ended = None
        self._request_with(strings, "run", run, str(len(strings)))

    def kill(self, run: str) -> None:
        """SIGKILL the program and what it started; its `ended` comes later."""
        self._request("kill", run)

    def get(self, run: str, path: str, most: int) -> bytes:
        """The file ``path`` in the directory of ``run``; Refused if it is over ``most`` bytes.

        What is too large is taken in all the same, and thrown away.
        """
        _, size, crc = self._request("get", run, path)
        seconds = ANSWER_WITHIN + int(size) / SLOWEST
        self.wait(lambda: self._left == 0, seconds, "no whole file")
        data, self._block = bytes(self._block or b""), None
        if len(data) > most:
            raise Refused(f"{path} has {len(data)} bytes, which is more than {most}")
        if f"{zlib.crc32(data):08x}" != crc:
            raise Refused(f"{path} was damaged on its way")
        return data

    def forget(self, run: str) -> None:
        """Remove what ``run`` left behind."""
        self._request("forget", run)


def _nothing() -> None:
    pass
