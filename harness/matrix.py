"""``hv matrix``: every scenario on every machine, several at once, in one table.

Each worker is a fork with a main thread of its own, for which the death signal of its emulators is
made, and which Ctrl-C reaches too. What comes out is in the order of the questions.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.diff import Target
from harness.verdict import RunEnded, Verdict

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

    from harness.scenario import Scenario

COLUMNS = ("bochs", "bochs:ryzen", "qemu-tcg", "qemu-kvm")
"""The machines that a matrix always has."""

STATUSES = ("passed", "failed", "known", "skipped")

_GRACE = 5.0  # seconds for a worker to end its emulator when it is told to


@dataclass(frozen=True)
class Cell:
    """What came of one scenario on one machine."""

    scenario: str
    machine: Target
    status: str  # "passed", "failed", "known" (it failed as the table says) or "skipped"
    verdict: str = ""  # "" where it did not run
    sentence: str = ""  # why, where it did not pass
    seconds: float = 0.0
    vendor: str = ""  # what the machine virtualizes by: "vmx", "svm", or "" if it did not say
    directory: str = ""

    def as_json(self) -> dict[str, Any]:
        """Everything, in plain JSON types."""
        return {**vars(self), "machine": str(self.machine), "seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class Matrix:
    """All cells, scenario by scenario, each in the order of ``machines``."""

    scenarios: tuple[str, ...]
    machines: tuple[Target, ...]
    cells: tuple[Cell, ...]
    seconds: float

    def cell(self, scenario: str, machine: Target) -> Cell:
        """The one of ``scenario`` on ``machine``."""
        at = self.scenarios.index(scenario) * len(self.machines) + self.machines.index(machine)
        return self.cells[at]

    def vendor(self, machine: Target) -> str:
        """What ``machine`` virtualizes by, in people's words; "" if no run on it said so."""
        words = {"vmx": "VT-x", "svm": "AMD-V"}
        found = (cell.vendor for cell in self.cells if cell.machine == machine)
        return words.get(next(filter(None, found), ""), "")

    def count(self, status: str) -> int:
        """How many cells have ``status``."""
        return sum(cell.status == status for cell in self.cells)

    def as_json(self) -> dict[str, Any]:
        """Everything, in plain JSON types."""
        return {
            "machines": [{"name": str(m), "vendor": self.vendor(m)} for m in self.machines],
            "cells": [cell.as_json() for cell in self.cells],
            "counts": {word: self.count(word) for word in STATUSES},
            "seconds": round(self.seconds, 3),
        }


def examine(scenario: Scenario, machine: Target) -> Cell:
    """Run one scenario on one machine, or say why not."""
    from harness import choose, deviations, runner

    def skipped(why: str) -> Cell:
        return Cell(scenario.name, machine, "skipped", sentence=why)

    if scenario.engines and machine.engine not in scenario.engines:
        return skipped(f"it is about {' and '.join(scenario.engines)}")
    if scenario.cpu and machine.cpu not in (None, scenario.cpu):
        return skipped(f"it is about the CPU {scenario.cpu}")
    cpu = machine.cpu or scenario.cpu
    reason, _ = choose.unmet(choose.engine(machine.engine), scenario.requires, cpu)
    if reason:
        return skipped(reason)
    outcome = runner.run(scenario, engine=machine.engine, cpu=machine.cpu)
    boot = next((one for one in outcome.records if one.get("kind") == "boot"), {})
    virtualization = boot.get("virtualization")
    wanted = "" if outcome.expected is Verdict.PASSED else f"{outcome.expected.word} was wanted: "
    sentence = "" if outcome.as_expected else wanted + outcome.sentence
    status = "passed" if outcome.as_expected else "failed"
    if rows := deviations.table().of_scenario(scenario.name, machine.engine, machine.cpu):
        status = "known" if status == "failed" else "failed"
        sentence = str(rows[0]) if sentence else f"it is said to fail: {rows[0]}"
    return Cell(
        scenario=scenario.name,
        machine=machine,
        status=status,
        verdict=outcome.verdict.word,
        sentence=sentence,
        seconds=outcome.seconds,
        vendor=str(virtualization.get("kind")) if isinstance(virtualization, dict) else "",
        directory=str(outcome.directory or ""),
    )


def run(
    scenarios: Sequence[Scenario],
    machines: Sequence[Target],
    *,
    workers: int | None = None,
    done: Callable[[int, int], None] = lambda count, of: None,
) -> Matrix:
    """Fill the matrix, ``workers`` (default: one a processor) cells at a time.

    ``done`` hears how many cells of how many are filled. Raises RunEnded, as `examine` does, for
    what is wrong with all of them: BAD_USAGE for an unknown engine or no image, STALE_IMAGE.
    """
    import time
    from multiprocessing.connection import wait

    from harness import choose
    from harness.job import require_image

    for machine in machines:
        choose.engine(machine.engine)  # raises the sentence
        if machine.cpu is not None:
            choose.known_model(machine.cpu, machine.engine)
    require_image()
    began = time.monotonic()
    questions = [(scenario, machine) for scenario in scenarios for machine in machines]
    answers: dict[int, Cell] = {}
    waiting = iter(range(len(questions)))
    busy: dict[Connection, int] = {}

    def give(connection: Connection) -> None:
        number = next(waiting, None)
        if number is not None:
            connection.send(number)
            busy[connection] = number

    count = min(workers or len(os.sched_getaffinity(0)), max(1, len(questions)))
    with _workers(count, questions) as connections:
        for connection in connections:
            give(connection)
        while busy:
            for ready in wait(list(busy)):
                connection = next(one for one in busy if one is ready)
                number = busy.pop(connection)
                answers[number] = _answer(connection, *questions[number])
                done(len(answers), len(questions))
                if not connection.closed:
                    give(connection)
    cells = tuple(answers[number] for number in range(len(questions)))
    names = tuple(scenario.name for scenario in scenarios)
    return Matrix(names, tuple(machines), cells, time.monotonic() - began)


def _answer(connection: Connection, scenario: Scenario, machine: Target) -> Cell:
    try:
        answer = connection.recv()
    except EOFError:
        connection.close()
        return Cell(scenario.name, machine, "failed", sentence="the harness's own process died")
    if isinstance(answer, RunEnded):
        raise answer
    assert isinstance(answer, Cell)
    return answer


@contextlib.contextmanager
def _workers(
    count: int, questions: Sequence[tuple[Scenario, Target]]
) -> Iterator[list[Connection]]:
    """Processes that answer a question's number with its `Cell`, or a RunEnded."""
    import multiprocessing

    context = multiprocessing.get_context("fork")
    processes: list[ForkProcess] = []
    connections: list[Connection] = []
    sys.stdout.flush()  # or each fork would write it once more
    try:
        for _ in range(count):
            ours, its = context.Pipe()
            process = context.Process(target=_work, args=(its, ours, questions), daemon=True)
            process.start()
            its.close()
            processes.append(process)
            connections.append(ours)
        yield connections
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    finally:
        for connection in connections:
            connection.close()  # which ends a worker that has nothing to do
        for process in processes:
            process.join(_GRACE)
            if process.is_alive():
                process.kill()
                process.join()


def _work(
    connection: Connection, parents: Connection, questions: Sequence[tuple[Scenario, Target]]
) -> None:
    """A worker's life: it ends with its parent, or when that closes the connection.

    It does not return: what else would be done at a process's end is its parent's to do.
    """
    from harness import supervise
    from harness.cli import Signalled, unwind

    supervise.die_with_parent()
    signal.signal(signal.SIGTERM, unwind)
    parents.close()  # the parent's end: while we held it too, its closing could not be noticed
    with contextlib.suppress(KeyboardInterrupt, Signalled, EOFError, BrokenPipeError):
        while True:
            number = connection.recv()
            try:
                answer: Cell | RunEnded = examine(*questions[number])
            except RunEnded as ended:
                answer = ended
            connection.send(answer)
    os._exit(0)


def main(names: Sequence[str], more: Sequence[str], html: Path | None, *, as_json: bool) -> int:
    """Fill the matrix of ``names`` (none: all), show it, return the exit code: 1 if any failed."""
    from harness import scenario
    from harness.report import matrix as report
    from harness.report.screen import Screen

    screen = Screen(sys.stdout)
    chosen = [scenario.find(name) for name in names] or [
        scenario.load(path) for path in scenario.paths()
    ]
    machines = [Target.parse(text) for text in dict.fromkeys((*COLUMNS, *more))]
    live = screen.stream.isatty() and not as_json
    filled = run(chosen, machines, done=report.progress(screen) if live else lambda *_: None)
    if html is not None:
        report.write_page(filled, html)
    if as_json:
        import json

        screen.line(json.dumps(filled.as_json(), indent=2))
    else:
        report.show(filled, screen)
        if html is not None:
            screen.line(f"written to {html}")
    return 1 if filled.count("failed") else 0
