"""The person at the console of a machine: shows what it says, types into it what they type."""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING

from harness.escape_key import EscapeKey
from harness.raw_terminal import RawTerminal, Traces
from harness.report.screen import Screen
from harness.report.terminal import Live
from harness.report.text import plain

if TYPE_CHECKING:
    from harness.machine import Machine
    from harness.outcome import Outcome
    from harness.records import Record

_MOST = 4096  # bytes taken from the keyboard at once
_LONGEST_WAITING = 1 << 19  # bytes; beyond it what is typed stays with the terminal
_UNFINISHED = 256  # bytes of a line that are shown again after one of ours

_KEYS = "Ctrl-] then q leaves, p pauses, n is the next guest, ? lists the keys"


class Keyboard(Live):
    """Shows the console raw, and types into it what comes from the terminal."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(screen, raw=True)
        self._terminal = RawTerminal(sys.stdin.fileno())
        # Readable while something was typed that we are ready to take.
        self._ready = select.epoll()
        self._listening = False
        self._escape = EscapeKey()
        self._traces = Traces()
        self._machine: Machine | None = None
        self._paused = False
        self._guests: list[str] = []  # that live
        self._focus: str | None = None
        self._line = b""  # what is on the screen since the last line end, at most _UNFINISHED of it
        self._at_margin = True

    def fileno(self) -> int:
        """For the machine's event loop."""
        return self._ready.fileno()

    # What the machine does

    def started(self, machine: Machine) -> None:
        """Connect the terminal to the machine."""
        self.screen.line(self.screen.styled(f"{_KEYS}.", dim=True))
        self._machine = machine
        machine.when_taken(self._listen)
        self._terminal.enter()
        self._listen()

    def console(self, data: bytes) -> None:
        """Show what the console says, as it is."""
        super().console(data)
        self._traces.feed(data)
        _, line_end, rest = data.rpartition(b"\n")
        self._line = (rest if line_end else self._line + data)[-_UNFINISHED:]
        self._at_margin = not rest if line_end else self._at_margin and not data

    def record(self, record: Record) -> None:
        """Note which guests there are, and which one has the console."""
        guest = str(record.get("guest"))
        if record.kind == "vm-start":
            self._guests.append(guest)
        elif record.kind == "vm-stop" and guest in self._guests:
            self._guests.remove(guest)
        elif record.kind == "focus":
            self._focus = guest
        elif record.kind == "unknown-command":
            self._say("the hypervisor did not do that: the guest may just have ended")

    def ended(self, outcome: Outcome) -> None:
        """Give the terminal back, then say what came of it."""
        self.close()
        super().ended(outcome)

    def close(self) -> None:
        """Give the terminal back as it was, with the cursor at a line's start. Idempotent."""
        self._terminal.restore()
        if not self._ready.closed:
            self._ready.close()
            self._show_bytes(self._traces.undone() + (b"" if self._at_margin else b"\n"))

    # What the person does

    def take(self) -> None:
        """Read what was typed, which may be nothing, and do it."""
        if not self._listening or not self._ready.poll(0):
            return
        try:
            typed = os.read(sys.stdin.fileno(), _MOST)
        except OSError:  # EIO: hung up
            typed = b""
        if not typed:  # nothing at all: the terminal has gone
            raise KeyboardInterrupt
        for what in self._escape.feed(typed):
            if isinstance(what, bytes):
                self._write(what)
            else:
                self._command(what)

    def _listen(self) -> None:
        """Take what is typed, unless too much waits for the machine already."""
        assert self._machine is not None
        wanted = self._machine.waiting <= _LONGEST_WAITING
        if wanted != self._listening and not self._ready.closed:
            self._listening = wanted
            if wanted:
                self._ready.register(sys.stdin.fileno(), select.EPOLLIN)
            else:
                self._ready.unregister(sys.stdin.fileno())

    def _write(self, data: bytes) -> None:
        assert self._machine is not None
        self._machine.write(data)
        self._listen()

    def _command(self, key: str) -> None:
        if key == "q":
            raise KeyboardInterrupt
        if key == "p":
            self._pause()
        elif key == "n":
            self._next()
        elif key.isdecimal() and key.isascii():
            self._choose(int(key))
        elif key == "?":
            self._help()
        else:
            self._say(f"Ctrl-] {plain(key)} is no key of mine. {_KEYS}.")

    def _pause(self) -> None:
        assert self._machine is not None
        if self._paused:
            self._say("the machine goes on")
            self._machine.resume()
        else:
            self._machine.pause()
            self._say("the machine is paused; Ctrl-] p lets it go on")
        self._paused = not self._paused

    def _next(self) -> None:
        others = len(self._guests) > (self._focus in self._guests)
        if self._focus is None or not others:
            self._say("there is no other guest")
            return
        at = self._guests.index(self._focus) if self._focus in self._guests else -1
        self._give_focus(self._guests[(at + 1) % len(self._guests)])

    def _choose(self, number: int) -> None:
        if self._focus is not None and 1 <= number <= len(self._guests):
            self._give_focus(self._guests[number - 1])
        else:
            self._say(f"there is no guest {number}")

    def _give_focus(self, guest: str) -> None:
        assert self._machine is not None
        self._machine.command(f"focus {guest}")
        if self._paused:
            self._say(f"{plain(guest)} gets the console when the machine goes on")

    def _help(self) -> None:
        lines = [
            "Ctrl-] then q: leave; p: pause, and go on; n: the next guest; 1 to 9: that guest; "
            "Ctrl-]: type one"
        ]
        if self._focus is not None:
            names = (
                f"{number} {plain(guest)}" + (" (has the console)" if guest == self._focus else "")
                for number, guest in enumerate(self._guests, 1)
            )
            lines.append(f"guests: {', '.join(names)}")
        self._say(*lines)

    def _say(self, *lines: str) -> None:
        """Lines of ours, and then the machine's unfinished one again."""
        self.screen.write("" if self._at_margin else "\n")
        for line in lines:
            self.screen.line(self.screen.styled(f"hv: {line}", dim=True))
        self._show_bytes(self._line)
        self._at_margin = not self._line

    def _show_bytes(self, data: bytes) -> None:
        super().console(data)
