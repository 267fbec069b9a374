"""``hv run --gdb``: a debugger on the machine, before its first instruction.

QEMU waits on a loopback port, and for Bochs this harness does on a socket file; on a terminal gdb
is opened there, with the symbols and the commands of `harness.gdb_commands`. Without gdb the
terminal is connected to the debugger that Bochs has.
"""

from __future__ import annotations

import select
import shlex
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.gdb_bridge import Bridge
from harness.gdb_terminal import BochsTerminal, Debugger, Gdb, LeftError, gdb_arguments
from harness.interactive import Connected
from harness.job import Job
from harness.outcome import Outcome
from harness.report.screen import Screen
from harness.report.terminal import Live
from harness.report.text import plain
from harness.runner import execute
from harness.verdict import RunEnded, Verdict, bad_usage

if TYPE_CHECKING:
    from harness.machine import Machine
    from harness.scenario import Scenario

ENGINES = ("qemu-kvm", "qemu-tcg")
"""The engines that have a gdbstub."""

_GOES_ON = "crash=go-on"  # whoever debugs stops the machine himself


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

    Where no engine with a gdbstub offers what the scenario needs, it is Bochs.
    """
    session = _Session(Screen(sys.stdout))

    def attached() -> Job:
        job = _planned(planned, replace(scenario, append=f"{scenario.append} {_GOES_ON}"), engine)
        job = replace(job, limit=None if endless else job.limit)
        return (
            session.on_bochs(job)
            if job.choice.engine.name == "bochs"
            else session.on_qemu(job, port)
        )

    try:
        return execute(attached, outcome, directory=directory, observer=session)
    except LeftError:
        return outcome
    finally:
        session.close()


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
    """Opens a debugger on the terminal, or says how to attach one; keeps the machine for it."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(screen)
        self._gdb = shutil.which("gdb")
        self._on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        self._address = ""  # where gdb finds the machine
        self._debuggers: list[Debugger] = []

    def on_qemu(self, job: Job, port: int) -> Job:
        """The job, with QEMU's gdbstub."""
        self._address = f"127.0.0.1:{port}"
        return self._with_gdb(_stopped(job, port))

    def on_bochs(self, job: Job) -> Job:
        """The job, with a bridge for gdb, or in Bochs's own debugger where there is no gdb."""
        job = replace(job, boot=replace(job.boot, stopped=True))
        if self._gdb is None and self._on_terminal:
            return self._beside(job, BochsTerminal(self.screen))
        bridge = Bridge(self.screen)
        self._address = bridge.address
        return self._with_gdb(self._beside(job, bridge))

    def _with_gdb(self, job: Job) -> Job:
        if self._gdb is None or not self._on_terminal:
            return job
        return self._beside(job, Gdb(self.screen, self._gdb, self._address))

    def _beside(self, job: Job, debugger: Debugger) -> Job:
        self._debuggers.append(debugger)
        connected = Connected(job.choice.engine, debugger)
        return replace(job, choice=replace(job.choice, engine=connected))

    def started(self, machine: Machine) -> None:
        """The machine is stopped before its first instruction."""
        for debugger in self._debuggers:
            debugger.begin(machine)
        if not self._has_terminal:
            self.screen.line("the machine waits for a debugger; attach one with")
            self.screen.line("  " + shlex.join(gdb_arguments("gdb", machine, self._address)))

    @property
    def _has_terminal(self) -> bool:
        return any(debugger.has_terminal for debugger in self._debuggers)

    def console(self, data: bytes) -> None:
        """Show it, unless the terminal is a debugger's: don't write between its lines."""
        if not self._has_terminal:
            super().console(data)

    def decided(self, machine: Machine, ended: RunEnded | None) -> None:
        """Keep the machine as it stands for as long as somebody looks at it."""
        why = plain(ended.sentence) if ended else "the run has passed"
        for debugger in self._debuggers:
            debugger.over = True
        for debugger in self._debuggers[:1]:  # a bridge has gdb say it, where there is one
            debugger.decided(f"hv: {why} (quit ends the machine)")
        while any(debugger.attached for debugger in self._debuggers):
            if machine.end is None:
                machine.watch(float("inf"))
            else:  # its loop waits for nothing any more
                select.select(self._debuggers, [], [])
                for debugger in self._debuggers:
                    debugger.take()

    def close(self) -> None:
        """Give the terminal back."""
        for debugger in self._debuggers:
            debugger.end()
