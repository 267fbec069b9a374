"""A terminal in raw mode, and all that brings it back."""

from __future__ import annotations

import os
import re
import signal
import termios
import tty
from contextlib import suppress
from types import FrameType
from typing import Any

from harness.cli import unwind

_LOOK = b"\x1b[m\x1b(B\x0f"  # colours and character sets as they usually are
_MODE = re.compile(rb"\x1b\[\?([0-9;]{1,32})([hl])")
_USUALLY_ON = frozenset({7, 25})  # lines wrap, the cursor shows
_USUALLY_OFF = frozenset(
    {1, 5, 6, 9, 47, 66, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 1047, 1049, 2004}
)
"""DEC private modes (xterm's control sequences): keys, mouse, the other screen, pastes."""
_LONGEST_SEQUENCE = 40  # bytes


class RawTerminal:
    """Raw mode from `enter` to `restore`; whoever suspends the process gets the terminal back too.

    Only what kills a process without a word, SIGKILL, leaves it raw.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._saved: list[Any] | None = None
        self._handlers: dict[int, Any] = {}

    def enter(self) -> None:
        """Raw mode; nothing that was typed already is lost."""
        self._saved = termios.tcgetattr(self._descriptor)
        for number, handler in ((signal.SIGTSTP, self._suspend), (signal.SIGQUIT, unwind)):
            self._handlers[number] = signal.signal(number, handler)
        self._set_raw()

    def _set_raw(self) -> None:
        tty.setraw(self._descriptor, termios.TCSANOW)
        # Keep the terminal's own line ends: the verdict is printed as everything else is.
        now = termios.tcgetattr(self._descriptor)
        now[1] |= termios.OPOST
        termios.tcsetattr(self._descriptor, termios.TCSANOW, now)

    def _suspend(self, _number: int, _frame: FrameType | None) -> None:
        self._put_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        with suppress(termios.error):
            self._set_raw()

    def _put_back(self) -> None:
        # TCSANOW: whatever ended the run, restoring must not wait for a terminal that is gone.
        with suppress(termios.error):
            termios.tcsetattr(self._descriptor, termios.TCSANOW, self._saved or [])

    def restore(self) -> None:
        """Give the terminal back as it was. Idempotent."""
        if self._saved is not None:
            self._put_back()
            self._saved = None
        while self._handlers:
            signal.signal(*self._handlers.popitem())


class Traces:
    """What the bytes that a machine wrote have changed of the terminal's look and manners."""

    def __init__(self) -> None:
        self._tail = b""
        self._escaped = False
        self._changed: set[int] = set()  # modes that are not as usual

    def feed(self, data: bytes) -> None:
        """The machine has written ``data``."""
        text = self._tail + data
        self._escaped = self._escaped or b"\x1b" in data or b"\x0e" in data
        for numbers, letter in _MODE.findall(text):
            for number in (int(one) for one in numbers.split(b";") if one):
                usual = _USUALLY_ON if letter == b"h" else _USUALLY_OFF
                unusual = _USUALLY_OFF if letter == b"h" else _USUALLY_ON
                if number in unusual:
                    self._changed.add(number)
                elif number in usual:
                    self._changed.discard(number)
        last = text.rfind(b"\x1b", -_LONGEST_SEQUENCE)
        self._tail = text[last:] if last >= 0 and not _MODE.match(text[last:]) else b""

    def undone(self) -> bytes:
        """The bytes that make the terminal usual again; none where nothing was changed."""
        letters = {number: "h" if number in _USUALLY_ON else "l" for number in self._changed}
        modes = "".join(f"\x1b[?{number}{letters[number]}" for number in sorted(letters))
        return modes.encode() + (_LOOK if self._escaped else b"")
