"""Runs one job: boot a machine, compare what happens with what was expected, keep what it left."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness import image, project, rundir
from harness.engines.base import Boot, EndKind, Say, Unsupported, silently
from harness.guest import boot_modules, machine_memory
from harness.judge import Judge
from harness.scenario import Expectation, Scenario
from harness.verdict import RunEnded, Verdict, bad_usage

if TYPE_CHECKING:
    from harness.choose import Choice
    from harness.machine import Machine
    from harness.records import Record
    from harness.trace import Trace

AS_LONG_AS_IT_LIVES = 1e6
"""Seconds: each wait may use all of the time that the machine has, which its own limit ends."""

REPLAY_PATIENCE = 20
"""So many limits a replay may take to come to its tick: this host may be slower."""

ENDING_SECONDS = 2.0
"""How long a machine may take to end by itself once a guest's crash has decided the run."""

TRACED_EXITS = 1 << 16
"""How many of the last exits a traced run keeps, unless its command line has trace= itself."""

LINE_SECONDS = 0.3
"""How long a line that has what was waited for may take to come to its end."""


class Observer(Protocol):
    """Watches a run while it goes on; every method may do nothing."""

    def chosen(self, job: Job) -> None:
        """An engine was chosen; the machine has not started."""

    def progress(self, text: str) -> None:
        """What the engine does until the machine can start, where that takes long."""

    def started(self, machine: Machine) -> None:
        """The machine has started."""

    def console(self, data: bytes) -> None:
        """Console bytes, raw, as they arrive: hostile, since guests write them."""

    def record(self, record: Record) -> None:
        """A record, as it arrives."""

    def ended(self, outcome: Outcome) -> None:
        """The run is over."""


class Silent:
    """An observer that does nothing; others extend it."""

    def chosen(self, job: Job) -> None:
        """Do nothing."""

    def progress(self, text: str) -> None:
        """Do nothing."""

    def started(self, machine: Machine) -> None:
        """Do nothing."""

    def console(self, data: bytes) -> None:
        """Do nothing."""

    def record(self, record: Record) -> None:
        """Do nothing."""

    def ended(self, outcome: Outcome) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Job:
    """What a run is about to do, all of it decided."""

    name: str
    choice: Choice
    boot: Boot
    limit: float | None  # seconds for the machine as a whole; None: no limit
    replay: tuple[str, ...]  # what follows `hv` to do the same again
    scenario: Scenario | None = None  # None: a kernel that is not ours, whose records say nothing
    expectations: tuple[Expectation, ...] = ()
    to_the_end: bool = True  # whether the machine must power off by itself
    trace: bool = False  # whether to read the exit trace out of the machine


@dataclass
class Outcome:
    """What one run came to."""

    scenario: str
    verdict: Verdict = Verdict.PASSED
    expected: Verdict = Verdict.PASSED
    sentence: str = "everything that was expected happened"
    evidence: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    engine: str | None = None
    cpu: str | None = None
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    started: float = field(default_factory=time.time)  # seconds since 1970
    seconds: float = 0.0
    directory: Path | None = None
    records: list[dict[str, Any]] = field(default_factory=list)
    tick: int | None = None  # where in emulated time the machine stopped, where the engine counts
    post_mortem: list[str] = field(default_factory=list)  # a page of text
    trace: Trace | None = None  # where one was asked for, and could be read

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the one that the scenario asks for."""
        return self.verdict is self.expected

    @property
    def exit_code(self) -> int:
        """The verdict's own; 1 for a run that passed although its scenario wants another end."""
        if self.verdict is Verdict.PASSED and not self.as_expected:
            return Verdict.FAILED.exit_code
        return self.verdict.exit_code

    def take(self, ended: RunEnded) -> None:
        """Adopt the verdict that ended the run."""
        self.verdict, self.sentence = ended.verdict, ended.sentence.removesuffix(".")
        self.evidence, self.facts = ended.evidence, ended.facts

    def as_json(self) -> dict[str, Any]:
        """Everything, in plain JSON types."""
        return {
            "scenario": self.scenario,
            "verdict": self.verdict.word,
            "exit_code": self.exit_code,
            "expected": self.expected.word,
            "sentence": self.sentence,
            "evidence": list(self.evidence),
            "facts": self.facts,
            "engine": self.engine,
            "cpu": self.cpu,
            "passed_over": [{"engine": name, "why": why} for name, why in self.passed_over],
            "started": round(self.started, 3),
            "seconds": round(self.seconds, 3),
            "tick": self.tick,
            **({"trace": self.trace.as_json()} if self.trace else {}),
            "run_directory": str(self.directory) if self.directory else None,
            "crashes": [record for record in self.records if record.get("kind") == "crash"],
            "records": self.records,
        }


def plan(
    scenario: Scenario,
    *,
    engine: str = "auto",
    cpu: str | None = None,
    timeout: float | None = None,
    append: str = "",
    trace: bool = False,
    firmware: str | None = None,
    say: Say = silently,
    until_tick: int | None = None,
) -> Job:
    """Choose the engine and lay out the machine for a scenario, starting nothing.

    ``say`` hears what takes long where an engine's processor has to be tried first.

    Raises RunEnded: STALE_IMAGE, ENGINE_MISSING, or BAD_USAGE for a missing image or guest.
    """
    from harness import choose

    ours = require_image()
    for guest in scenario.guests:
        if not guest.path.is_file():
            raise bad_usage(f"guest {guest.name!r} has no image: {guest.path} is missing")
        for data in guest.data:
            if not data.path.is_file():
                raise bad_usage(f"guest {guest.name!r} lacks a file: {data.path} is missing")
    modules = boot_modules(scenario.guests)
    model = cpu or scenario.cpu
    wanted = firmware or scenario.firmware
    requires = (*scenario.requires, *filter(None, (wanted,)))
    choice = choose.choose(requires, scenario.engines, engine, model, say=say)
    limit = scenario.timeout * choice.engine.patience if timeout is None else timeout
    if trace and not re.search(r"(^| )trace=", f"{scenario.append} {append}"):
        append = f"{append} trace={TRACED_EXITS}".strip()
    known = scenario.path.parent == project.scenarios()
    replay = ["run", scenario.name if known else str(scenario.path)]
    replay += ["--engine", choice.engine.name, "--timeout", f"{limit:g}"]
    replay += ["--cpu", cpu] if cpu else []
    replay += ["--append", append] if append else []
    replay += ["--firmware", firmware] if firmware else []
    replay += ["--until-tick", str(until_tick)] if until_tick is not None else []
    return Job(
        name=scenario.name,
        choice=choice,
        boot=Boot(
            image=ours,
            command_line=" ".join(filter(None, (scenario.append, append))),
            modules=modules,
            memory_mib=scenario.memory or machine_memory(scenario.guests, modules),
            msrs=scenario.msrs,
            until_tick=until_tick,
            cpu_model=model,
            firmware=wanted,
        ),
        limit=limit if until_tick is None else limit * REPLAY_PATIENCE,
        replay=tuple(replay),
        scenario=scenario,
        expectations=scenario.expectations,
        trace=trace,
    )


def require_image() -> Path:
    """The hypervisor's image. RunEnded BAD_USAGE if it is not built, STALE_IMAGE if not anew."""
    ours = project.image()
    if not ours.is_file():
        raise bad_usage(f"the hypervisor's image {ours} is missing; `make` builds it")
    require_fresh(ours)
    return ours


def require_fresh(image_path: Path) -> None:
    """RunEnded STALE_IMAGE if sources are newer; `make` is asked once a process for one image.

    A session tests one image: that it was fresh at the session's start is what counts.
    """
    _fresh(image_path, image_path.stat().st_mtime_ns if image_path.exists() else 0)


@lru_cache(maxsize=16)
def _fresh(image_path: Path, _built: int) -> None:
    image.require_fresh(image_path)  # what it raises is not cached


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
    ``until_tick`` ends the run there instead of at its time limit (Bochs).
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
        if judge and judge.see(record.kind, record.data) and watching:
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

        def read_trace() -> None:
            from harness import trace

            outcome.trace = trace.fetch(machine.read_physical, job.boot.image)

        try:
            if job.trace:
                machine.before_end = read_trace
            rundir.write_replay(outcome.directory, job.replay, machine.running.argv)
            observer.started(machine)
            _watch(job, machine, judge)
        except RunEnded as ended:
            if job.trace and outcome.trace is None:
                with suppress(RunEnded, Unsupported):  # what went wrong first is what counts
                    read_trace()
            if ended.verdict is Verdict.VM_ENTRY_FAILED:
                said = (f"{job.choice.engine.name}: {line}" for line in machine.running.remarks())
                ended.evidence = (*said, *ended.evidence)
            if ended.verdict is not outcome.expected:
                outcome.post_mortem = _examine(machine, ended)
            outcome.tick = _replay_until(ended.facts.get("tick"), job, machine)
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


def _examine(machine: Machine, ended: RunEnded) -> list[str]:
    """Look at the machine as it stands; the page for people, the rest in the run directory."""
    from harness import postmortem

    found = postmortem.examine(machine, ended)
    if found is None:
        return []
    found.write(machine.directory)
    return found.page()


def _watch(job: Job, machine: Machine, judge: Judge | None) -> None:
    wanted = job.scenario.allow if job.scenario else tuple(machine.forbidden)
    for number, pattern in enumerate(job.scenario.forbid if job.scenario else (), 1):
        machine.forbidden[f"forbid {number}"] = (pattern, Verdict.FAILED)
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
