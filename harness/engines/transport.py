"""How a QEMU is reached: what differs between one on this host and one that runs elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from harness.engines.base import Process
from harness.engines.line import Line
from harness.engines.qmp import Channel


@dataclass(frozen=True)
class Exit:
    """How QEMU's process ended, with its last words, the most telling one first.

    ``status`` is as Popen's: negative for a signal. None: what QEMU ran in has ended, not QEMU.
    """

    status: int | None
    words: tuple[str, ...] = ()


class Transport(Protocol):
    """One QEMU's process, serial lines, QMP, files and memory."""

    channel: Channel
    argv: tuple[str, ...]
    firmware: str
    idle: Callable[[], None]  # called while a call waits: takes in serial output

    @property
    def console(self) -> Line:
        """COM1."""

    @property
    def records(self) -> Line:
        """COM2."""

    @property
    def process(self) -> Process:
        """On this host: QEMU, or the emulator that QEMU runs in."""

    def wakeups(self) -> tuple[int, ...]:
        """File descriptors, readable when `service` has something to do or QEMU has ended."""

    def service(self) -> None:
        """Take in what has come beside the serial lines and QMP; never blocks."""

    def exit(self) -> Exit | None:
        """How QEMU ended; None while it has not."""

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for QEMU's end; whether it has ended."""

    def words(self) -> tuple[str, ...]:
        """The last words of a QEMU that still runs, the most telling one first."""

    def cpu_log(self) -> bytes:
        """The newest part of what QEMU logged of its processors."""

    def read_ram(self, address: int, length: int) -> bytes | None:
        """RAM at ``address``, or None where only QEMU itself can read it."""

    def write_ram(self, address: int, data: bytes) -> None:
        """Write RAM at ``address``; Unsupported where it can't be."""

    def memory_file(self) -> int | None:
        """Descriptor of the file that is the machine's RAM; None where no file of this host is."""

    def take_file(self, name: str) -> bytes:
        """The content of a file that QEMU wrote into its working directory; the file goes."""

    def end(self) -> None:
        """End QEMU now, gently if it lets us, and wait for its end. Idempotent; never raises."""

    def close(self) -> None:
        """Release everything; QEMU has ended. Idempotent; never raises."""
