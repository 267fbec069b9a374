"""``hv run --gdb``: QEMU's gdbstub on a loopback port; the machine waits for its debugger."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.report.screen import Screen
from harness.report.terminal import Live
from harness.runner import Job, Outcome, execute
from harness.verdict import bad_usage

if TYPE_CHECKING:
    from harness.machine import Machine
    from harness.scenario import Scenario

ENGINES = ("qemu-kvm", "qemu-tcg")
"""The engines that have a gdbstub; Debian's Bochs is built with its own debugger instead."""


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
    """Do a job under a debugger; ``endless`` lifts the scenario's time limit."""

    def attached() -> Job:
        job = _attached(planned(_restricted(scenario, engine)), port)
        return replace(job, limit=None if endless else job.limit)

    observer = _Waiting(Screen(sys.stdout), port)
    return execute(attached, outcome, directory=directory, observer=observer)


def _restricted(scenario: Scenario, engine: str) -> Scenario:
    """The scenario for engines that have a gdbstub; BAD_USAGE if it or the user wants another."""
    allowed = tuple(name for name in ENGINES if name in (scenario.engines or ENGINES))
    if not allowed or engine not in ("auto", *ENGINES):
        wanted = engine if engine != "auto" else f"the scenario {scenario.name}"
        raise bad_usage(f"--gdb is for {' and '.join(ENGINES)}, which {wanted} is not for")
    return replace(scenario, engines=allowed)


def _attached(job: Job, port: int) -> Job:
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


class _Waiting(Live):
    """Says how to attach."""

    def __init__(self, screen: Screen, port: int) -> None:
        super().__init__(screen)
        self.port = port

    def started(self, machine: Machine) -> None:
        """The machine is stopped at its reset vector: say what to type."""
        self.screen.line("the machine waits for a debugger; attach one with")
        self.screen.line(
            f"  gdb {machine.boot.image} -ex 'target remote 127.0.0.1:{self.port}' -ex continue"
        )
