"""Serial lines: raw bytes both ways, over a socket or a pair of pipes."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Protocol

_CAPACITY = 1 << 18  # bytes


class Line(Protocol):
    """What a serial line can do; a non-blocking socket can."""

    def fileno(self) -> int:
        """Readable when something has come; negative once it is closed."""

    def recv(self, size: int, /) -> bytes:
        """What has come, up to ``size`` bytes; BlockingIOError: nothing yet; empty: its end."""

    def send(self, data: bytes | bytearray, /) -> int:
        """How many of the bytes could be sent now; BlockingIOError: none."""

    def setblocking(self, flag: bool, /) -> None:
        """Whether `recv` and `send` wait."""

    def close(self) -> None:
        """Release it. Idempotent."""


class PipeLine:
    """A line over two named pipes, PATH.in and PATH.out, as QEMU's chardev "pipe" has them.

    A UART gives its bytes one by one. A socket keeps each as a message with its overhead, so a few
    hundred fill it, and the machine stands still, by its own clock too, until they are read. A pipe
    holds as many bytes whatever the pieces.
    """

    def __init__(self, path: Path) -> None:
        """Make the pipes. Raises OSError if that can't be."""
        self._pipes = tuple(path.with_name(path.name + end) for end in (".out", ".in"))
        self._descriptors: list[int] = []
        try:
            for pipe in self._pipes:
                pipe.unlink(missing_ok=True)
                os.mkfifo(pipe, 0o600)
                # Both ways: else it would be at its end, or not open, before the other side comes.
                descriptor = os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                self._descriptors.append(descriptor)
            with contextlib.suppress(OSError):  # there is a limit to a user's pipes together
                fcntl.fcntl(self.fileno(), fcntl.F_SETPIPE_SZ, _CAPACITY)
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        """The pipe that is read."""
        return self._descriptors[0] if self._descriptors else -1

    def write_fileno(self) -> int:
        """The pipe that is written."""
        return self._descriptors[1] if self._descriptors else -1

    def recv(self, size: int, /) -> bytes:
        """See `Line`."""
        return os.read(self.fileno(), size)

    def send(self, data: bytes | bytearray, /) -> int:
        """See `Line`."""
        return os.write(self.write_fileno(), data)

    def setblocking(self, flag: bool, /) -> None:
        """See `Line`."""
        for descriptor in self._descriptors:
            os.set_blocking(descriptor, flag)

    def close(self) -> None:
        """See `Line`."""
        while self._descriptors:
            os.close(self._descriptors.pop())
            with contextlib.suppress(OSError):
                self._pipes[len(self._descriptors)].unlink()


def write_fileno(line: Line) -> int:
    """The descriptor that is writable when ``line`` can send."""
    own = getattr(line, "write_fileno", line.fileno)
    return int(own())
