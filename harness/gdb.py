"""``hv run --gdb``: a debugger on the machine, before its first instruction.

QEMU waits on a loopback port; on a terminal gdb is opened there, with the symbols and the commands
of `harness.gdb_commands`. Bochs has a debugger of its own: the terminal is connected to that.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import project
from harness.interactive import Connected
from harness.job import Job
from harness.outcome import Outcome
from harness.places import Places
from harness.report.screen import Screen
from harness.report.terminal import Live
from harness.runner import execute
from harness.verdict import RunEnded, Verdict, bad_usage

if TYPE_CHECKING:
    from harness.machine import Machine
    from harness.scenario import Scenario

ENGINES = ("qemu-kvm", "qemu-tcg")
"""The engines that have a gdbstub."""

_FIRST_TICK = 1  # where Bochs stops for whoever debugs


def run(
    planned: Callable[[Scenario], Job],
    scenario: Scenario,
    outcome: Outcome,
    directory: Path | None,
    engine: str,
    port: int,
    *,
    endless: bool,
) -> Outcome:
    """Do a job under a debugger; ``endless`` lifts the scenario's time limit.

    Where no engine with a gdbstub offers what the scenario needs, it is Bochs with its own.
    """
    session = _Session(Screen(sys.stdout), port)
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()

    def attached() -> Job:
        job = _planned(planned, scenario, engine)
        if job.choice.engine.name == "bochs":
            if not on_terminal:
                raise bad_usage("--gdb: Bochs's debugger needs a terminal for input and output")
            job = replace(job, boot=replace(job.boot, until_tick=_FIRST_TICK))
            job = session.open(job, _BochsDebugger(session.screen))
        else:
            job = _stopped(job, port)
            gdb = shutil.which("gdb")
            if on_terminal and gdb:
                job = session.open(job, _Gdb(session.screen, gdb, port))
        return replace(job, limit=None if endless else job.limit)

    try:
        return execute(attached, outcome, directory=directory, observer=session)
    except _LeftError:
        return outcome
    finally:
        session.close()


class _LeftError(Exception):
    """The user has left the debugger."""


def _planned(planned: Callable[[Scenario], Job], scenario: Scenario, engine: str) -> Job:
    """The job, on an engine with a gdbstub where one will do, else on Bochs."""
    if engine == "bochs":
        return planned(scenario)
    allowed = tuple(name for name in ENGINES if name in (scenario.engines or ENGINES))
    if engine not in ("auto", *ENGINES):
        raise bad_usage(f"--gdb is for {', '.join(ENGINES)} and bochs, which {engine} is not")
    try:
        return planned(replace(scenario, engines=allowed or ENGINES))
    except RunEnded as ended:
        if ended.verdict is not Verdict.ENGINE_MISSING or engine != "auto":
            raise
    return planned(replace(scenario, engines=("bochs",)))


def _stopped(job: Job, port: int) -> Job:
    """The job, waiting for a debugger on 127.0.0.1:``port``; BAD_USAGE if the port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise bad_usage(f"--gdb: port {port} is taken ({error.strerror})") from None
    engine: Any = job.choice.engine
    extra = (*engine.extra, "-S", "-gdb", f"tcp:127.0.0.1:{port}")
    stopped = type(engine)(firmware=engine.firmware, extra=extra)
    return replace(job, choice=replace(job.choice, engine=stopped))


class _Session(Live):
    """Says how to attach; or, where a debugger is opened on the terminal, leaves that to it."""

    def __init__(self, screen: Screen, port: int) -> None:
        super().__init__(screen)
        self._port = port
        self._debugger: _Debugger | None = None

    def open(self, job: Job, debugger: _Debugger) -> Job:
        """The job, with ``debugger`` beside its machine."""
        self._debugger = debugger
        connected = Connected(job.choice.engine, debugger)
        return replace(job, choice=replace(job.choice, engine=connected))

    def started(self, machine: Machine) -> None:
        """The machine is stopped before its first instruction."""
        if self._debugger is not None:
            self._debugger.begin(machine)
            return
        self.screen.line("the machine waits for a debugger; attach one with")
        self.screen.line("  " + shlex.join(gdb_arguments("gdb", machine, self._port)))

    def console(self, data: bytes) -> None:
        """Show it, unless the terminal is a debugger's: don't write between its lines."""
        if self._debugger is None:
            super().console(data)

    def close(self) -> None:
        """Give Ctrl-C back."""
        if self._debugger is not None:
            self._debugger.end()


class _Debugger:
    """A debugger that has the terminal; Ctrl-C is for it."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self._before: Any = None

    def fileno(self) -> int:
        """Readable when `take` has something to do."""
        raise NotImplementedError

    def take(self) -> None:
        """Do it, without waiting."""
        raise NotImplementedError

    def begin(self, machine: Machine) -> None:
        """Take the terminal."""
        # A handler, since what is ignored here would be ignored in a child too.
        self._before = signal.signal(signal.SIGINT, lambda _number, _frame: self.interrupt())

    def interrupt(self) -> None:
        """Ctrl-C was pressed; gdb hears that by itself."""

    def end(self) -> None:
        """Give it back. Idempotent."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None


def gdb_arguments(gdb: str, machine: Machine, port: int) -> list[str]:
    """The command line that attaches gdb, with symbols and commands."""
    commands = Path(__file__).with_name("gdb_commands.py")
    guests = [f"{name}={path}" for name, path in Places(machine).guests.items()]
    arguments = [gdb, "-q", str(machine.boot.image), "-x", str(commands)]
    arguments += ["-ex", f"directory {project.root()}"]  # what the images call "."
    for guest in guests:
        arguments += ["-ex", f"hv-guest-file {guest}"]
    return [*arguments, "-ex", f"target remote 127.0.0.1:{port}"]


class _Gdb(_Debugger):
    """gdb in the foreground; the run ends with it."""

    def __init__(self, screen: Screen, gdb: str, port: int) -> None:
        super().__init__(screen)
        self._gdb, self._port = gdb, port
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = os.eventfd(0)  # until there is a process to watch

    def fileno(self) -> int:
        """Readable when gdb has ended."""
        return self._ended

    def begin(self, machine: Machine) -> None:
        """Open gdb on the stopped machine."""
        super().begin(machine)
        self.screen.line(f"the console is in {machine.directory / 'console.log'}; hv-help in gdb")
        self._process = subprocess.Popen(gdb_arguments(self._gdb, machine, self._port))
        os.dup2(os.pidfd_open(self._process.pid), self._ended)

    def take(self) -> None:
        """End the run once gdb has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise _LeftError


class _BochsDebugger(_Debugger):
    """The terminal, connected to Bochs's debugger."""

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
        from select import select

        if self._machine is None or not select([self.fileno()], [], [], 0)[0]:
            return
        typed = os.read(self.fileno(), 4096)
        if not typed:
            raise _LeftError
        running: Any = self._machine.running
        running.type(typed.decode("utf-8", "replace"))


def write_symbols(image: Path, target: Path) -> None:
    """Write an image's symbols as Bochs reads them: an address and a name a line."""
    from harness.image import symbols

    table = symbols(image)
    pairs = zip(table.addresses, table.names, strict=True)
    target.write_text("".join(f"{address:x} {name}\n" for address, name in pairs))
