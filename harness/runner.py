"""Runs one job: boot a machine, compare what happens with what was expected, keep what it left."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness import image, rundir
from harness.autopsy import Autopsy
from harness.engines.base import EndKind, Unsupported
from harness.job import Job, plan
from harness.judge import Judge
from harness.observer import Observer, Silent
from harness.outcome import Outcome
from harness.scenario import Expectation, Scenario
from harness.verdict import RunEnded, Verdict

if TYPE_CHECKING:
    from harness.machine import Machine
    from harness.records import Record
    from harness.trace import Trace

AS_LONG_AS_IT_LIVES = 1e6
"""Seconds: each wait may use all of the time that the machine has, which its own limit ends."""

ENDING_SECONDS = 2.0
"""How long a machine may take to end by itself once a guest's crash has decided the run."""

_NEVER = r"(?!)"  # a pattern that matches nothing

LINE_SECONDS = 0.3
"""How long a line that has what was waited for may take to come to its end."""


def run(
    scenario: Scenario,
    *,
    engine: str = "auto",
    cpu: str | None = None,
    timeout: float | None = None,
    append: str = "",
    trace: bool = False,
    firmware: str | None = None,
    until_tick: int | None = None,
    directory: Path | None = None,
    observer: Observer | None = None,
) -> Outcome:
    """Run ``scenario`` once and say what came of it; see `execute`.

    ``engine`` is "auto" or a name; ``cpu`` is the engine's own model name; ``timeout`` is in
    seconds; ``append`` is added to the hypervisor's command line; ``trace`` asks for the exits;
    ``firmware`` is "qboot" or "seabios";
    ``until_tick`` ends the run there instead of at its time limit: on Bochs at that instruction;
    on a QEMU that counts (the scenario requires deterministic) once it is seen to be reached.
    """
    audience = observer or Silent()
    return execute(
        lambda: plan(
            scenario,
            engine=engine,
            cpu=cpu,
            timeout=timeout,
            append=append,
            firmware=firmware,
            until_tick=until_tick,
            trace=trace,
            say=audience.progress,
        ),
        Outcome(scenario.name, expected=scenario.verdict),
        directory=directory,
        observer=audience,
    )  # fmt: skip


def execute(
    planned: Callable[[], Job],
    outcome: Outcome,
    *,
    directory: Path | None = None,
    observer: Observer,
) -> Outcome:
    """Plan a job, do it, and fill in ``outcome``.

    Never raises RunEnded: every end is in the outcome. Whatever else is raised (Ctrl-C) leaves
    no process behind. ``directory`` asks for a run directory other than a new one.
    """
    began = time.monotonic()
    try:
        job = planned()
        outcome.engine, outcome.cpu = job.choice.engine.name, job.boot.cpu_model
        outcome.passed_over = list(job.choice.passed_over)
        observer.chosen(job)
        outcome.directory = rundir.create(job.name, directory)
        _drive(job, outcome, observer)
    except RunEnded as ended:
        outcome.take(ended)
    outcome.seconds = time.monotonic() - began
    if outcome.directory is not None:
        try:
            rundir.finish(outcome.directory, outcome.as_json(), as_expected=outcome.as_expected)
        except RunEnded as ended:
            if outcome.as_expected:  # otherwise there is something more important to tell
                outcome.take(ended)
    observer.ended(outcome)
    return outcome


class _DecidedError(Exception):
    """The records have decided the run: there is nothing left to wait for."""


def _drive(job: Job, outcome: Outcome, observer: Observer) -> None:
    """Boot and watch one machine until the verdict is known; anything but success raises."""
    from harness.machine import Machine

    assert outcome.directory is not None
    judge = Judge(job.scenario) if job.scenario else None
    watching = True

    def on_record(record: Record) -> None:
        observer.record(record)
        decided = judge is not None and judge.see(record.kind, record.data)
        if decided and watching and not job.attended:
            raise _DecidedError

    rundir.write_replay(outcome.directory, job.replay, ())
    with Machine.start(
        job.choice.engine,
        job.boot,
        outcome.directory,
        on_console=observer.console,
        on_record=on_record,
        on_progress=observer.progress,
        expect_build=image.build_id(job.boot.image) if judge else None,
        limit=job.limit,
    ) as machine:
        autopsy = Autopsy(machine, judge, outcome)
        machine.at_crash = autopsy.at_crash
        try:
            rundir.write_replay(outcome.directory, job.replay, machine.running.argv)
            observer.started(machine)
            _watch(job, machine, judge)
            if job.trace:
                outcome.trace = _trace_of(machine)
            observer.decided(machine, None)
        except RunEnded as ended:
            if ended.verdict is Verdict.PANIC:
                _settle(machine)
            if job.trace:
                with suppress(RunEnded, Unsupported):  # what went wrong first is what counts
                    outcome.trace = _trace_of(machine)
            if ended.verdict is Verdict.VM_ENTRY_FAILED:
                said = (f"{job.choice.engine.name}: {line}" for line in machine.running.remarks())
                ended.evidence = (*said, *ended.evidence)
            autopsy.at_end(ended)
            outcome.tick = _replay_until(ended.facts.get("tick"), job, machine)
            observer.decided(machine, ended)
            raise
        finally:
            watching = False
            outcome.tick = outcome.tick or machine.running.tick
            machine.kill()
            outcome.records = [dict(record.data) for record in machine.records]


def _replay_until(tick: object, job: Job, machine: Machine) -> int | None:
    """A limit in seconds comes at another place each time: let the replay stop at this tick."""
    if not isinstance(tick, int):
        return None
    if job.scenario and "--until-tick" not in job.replay:
        again = (*job.replay, "--until-tick", str(tick))
        rundir.write_replay(machine.directory, again, machine.running.argv)
    return tick


def _settle(machine: Machine) -> None:
    """Let a hypervisor that panics come to its end, which is the same place each time."""
    deadline = time.monotonic() + ENDING_SECONDS * machine.engine.patience
    while machine.end is None and machine.watch(deadline) and time.monotonic() < deadline:
        pass


def _trace_of(machine: Machine) -> Trace:
    """The exits that the machine kept, which stands still."""
    from harness import trace

    return trace.fetch(machine.read_physical, machine.boot.image)


def _watch(job: Job, machine: Machine, judge: Judge | None) -> None:
    wanted = job.scenario.allow if job.scenario else tuple(machine.forbidden)
    for number, pattern in enumerate(job.scenario.forbid if job.scenario else (), 1):
        machine.forbidden[f"forbid {number}"] = (pattern, Verdict.FAILED)
    if job.attended:  # guests print what they like: of a panic, only the record counts
        machine.forbidden = {
            name: (_NEVER, verdict) for name, (_, verdict) in machine.forbidden.items()
        }
    end = None
    try:
        with machine.allow(*(name for name in wanted if name in machine.forbidden)):
            try:
                for expectation in job.expectations:
                    _await(machine, expectation)
                if not job.to_the_end:
                    _finish_line(machine)
                    return
                end = machine.wait(timeout=AS_LONG_AS_IT_LIVES)
            except _DecidedError:
                # The verdict is known; what the machine still says makes the logs whole.
                machine.await_freeze(timeout=ENDING_SECONDS)
                machine.wait(timeout=ENDING_SECONDS)
    except RunEnded as ended:
        raise (judge.better(ended) if judge else ended) from None
    if judge:
        judge.conclude(machine.problems)
    elif end and end.kind is EndKind.POWER_OFF and end.code:
        raise RunEnded(Verdict.FAILED, f"the machine powered off with code {end.code}")


def _finish_line(machine: Machine) -> None:
    """Let the line that was waited for be completed: people read lines."""
    with suppress(RunEnded):
        machine.expect("\n", timeout=LINE_SECONDS)


def _await(machine: Machine, expectation: Expectation) -> None:
    if expectation.console is not None:
        machine.expect(expectation.console, timeout=AS_LONG_AS_IT_LIVES)
    elif expectation.record is not None:
        where = dict(expectation.where)
        machine.expect_record(expectation.record, timeout=AS_LONG_AS_IT_LIVES, **where)
