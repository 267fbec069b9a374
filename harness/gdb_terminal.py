"""Debuggers that have the terminal: gdb, and Bochs's own."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import project
from harness.places import Places

if TYPE_CHECKING:
    from harness.machine import Machine
    from harness.report.screen import Screen


class LeftError(Exception):
    """The user has left the debugger."""


class Debugger:
    """Something that a machine's event loop serves while it is debugged."""

    has_terminal = False  # then nobody else writes to it, and Ctrl-C is for the debugger

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.over = False  # the run has its verdict: whoever leaves now ends nothing

    def leave(self) -> None:
        """The user has left: that ends the run, unless it is over. Raises LeftError."""
        if not self.over:
            raise LeftError

    def fileno(self) -> int:
        """Readable when `take` has something to do."""
        raise NotImplementedError

    def take(self) -> None:
        """Do it, without waiting. Raises LeftError if the machine is to end."""
        raise NotImplementedError

    def begin(self, machine: Machine) -> None:
        """The machine has started, and stands before its first instruction."""

    @property
    def attached(self) -> bool:
        """Whether somebody looks at the machine."""
        return False

    def decided(self, why: str) -> None:
        """The run is over, but the machine is there as long as somebody looks at it."""

    def end(self) -> None:
        """Release everything. Idempotent."""


class _OnTerminal(Debugger):
    has_terminal = True

    def __init__(self, screen: Screen) -> None:
        super().__init__(screen)
        self._before: Any = None

    def begin(self, machine: Machine) -> None:
        """Take the terminal."""
        # A handler, since what is ignored here would be ignored in a child too.
        self._before = signal.signal(signal.SIGINT, lambda _number, _frame: self.interrupt())

    def interrupt(self) -> None:
        """Ctrl-C was pressed."""

    def end(self) -> None:
        """Give Ctrl-C back."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None


def gdb_arguments(gdb: str, machine: Machine, address: str) -> list[str]:
    """The command line that attaches gdb, with symbols and commands."""
    commands = Path(__file__).with_name("gdb_commands.py")
    guests = [f"{name}={path}" for name, path in Places(machine).guests.items()]
    arguments = [gdb, "-q", str(machine.boot.image), "-x", str(commands)]
    arguments += ["-ex", f"directory {project.root()}"]  # what the images call "."
    for guest in guests:
        arguments += ["-ex", f"hv-guest-file {guest}"]
    return [*arguments, "-ex", f"target remote {address}"]


class Gdb(_OnTerminal):
    """gdb in the foreground; the run ends with it. It hears of Ctrl-C by itself."""

    def __init__(self, screen: Screen, gdb: str, address: str) -> None:
        super().__init__(screen)
        self._gdb, self._address = gdb, address
        self._process: subprocess.Popen[bytes] | None = None
        self._events = select.epoll()  # there before the process that it will watch
        self._pidfd: int | None = None

    def fileno(self) -> int:
        """Readable when gdb has ended."""
        return self._events.fileno()

    def begin(self, machine: Machine) -> None:
        """Open gdb on the stopped machine."""
        super().begin(machine)
        self.screen.line(f"the console is in {machine.directory / 'console.log'}; hv-help in gdb")
        self._process = subprocess.Popen(gdb_arguments(self._gdb, machine, self._address))
        self._pidfd = os.pidfd_open(self._process.pid)
        self._events.register(self._pidfd, select.EPOLLIN)

    @property
    def attached(self) -> bool:
        """Until gdb ends."""
        return self._process is not None and self._process.poll() is None

    def decided(self, why: str) -> None:
        """Say so, between gdb's own lines."""
        if self.attached:
            self.screen.line(f"\n{why}")

    def take(self) -> None:
        """End the run once gdb has ended."""
        if self._process is not None and self._process.poll() is not None:
            self.leave()

    def end(self) -> None:
        """End gdb, which has nothing to debug any more; give the terminal back."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()  # it restores the terminal's modes
            self._process.wait()
        self._events.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        super().end()


class BochsTerminal(_OnTerminal):
    """The terminal, connected to Bochs's own debugger."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(screen)
        self._machine: Machine | None = None

    def fileno(self) -> int:
        """What is typed."""
        return sys.stdin.fileno()

    def begin(self, machine: Machine) -> None:
        """Load the symbols, and hand the debugger over."""
        super().begin(machine)
        self._machine = machine
        for name, path in {"kernel": machine.boot.image, **Places(machine).guests}.items():
            write_symbols(path, machine.directory / f"{name}.sym")
        running: Any = machine.running
        running.hand_over(self.screen.write)
        running.type('ldsym global "kernel.sym"\n')
        self.screen.line(
            "Bochs's debugger: c goes on, Ctrl-C stops, q ends; the hypervisor's symbols are loaded"
            ' (ldsym global "NAME.sym" loads a guest\'s)'
        )

    def interrupt(self) -> None:
        """Stop the machine in its debugger, which has no terminal of its own to hear it from."""
        if self._machine is not None:
            os.kill(self._machine.running.process.pid, signal.SIGINT)

    def take(self) -> None:
        """Pass on what was typed."""
        if self._machine is None or not select.select([self.fileno()], [], [], 0)[0]:
            return
        typed = os.read(self.fileno(), 4096)
        if not typed:
            self.leave()
        running: Any = self._machine.running
        running.type(typed.decode("utf-8", "replace"))


def write_symbols(image: Path, target: Path) -> None:
    """Write an image's symbols as Bochs reads them: an address and a name a line."""
    from harness.image import symbols

    table = symbols(image)
    pairs = zip(table.addresses, table.names, strict=True)
    target.write_text("".join(f"{address:x} {name}\n" for address, name in pairs))
