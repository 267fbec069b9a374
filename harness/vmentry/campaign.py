"""A campaign of VM entries: its directory, its progress, its end, and going on after a stop.

The directory has plan.json, what is to be done, and results.jsonl, a line for each chunk that is
done. A chunk that was under way when the campaign stopped is done again: it comes out the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from harness import rundir
from harness.verdict import bad_usage
from harness.vmentry.chunk import Plan
from harness.vmentry.spread import Dask, Processes, Result, Work

PLAN, RESULTS = "plan.json", "results.jsonl"
_KEYS = {"cases", "entered", "refused", "left_out", "disagreements", "found", "alone"}


@dataclass
class Total:
    """The sum of results; ``seconds`` is wall time of this run, which did ``fresh`` cases."""

    plan: Plan
    directory: Path
    results: dict[Work, Result] = field(default_factory=dict)
    seconds: float = 0.0
    fresh: int = 0

    def add(self, result: Result, *, fresh: bool) -> None:
        """Count one chunk."""
        self.results[str(result["cpu"]), int(result["chunk"])] = result
        if fresh:
            self.fresh += int(result["cases"])

    def sum(self, key: str, cpu: str | None = None) -> int:
        """Of a number that each result has."""
        return sum(int(r[key]) for r in self.results.values() if cpu in (None, r["cpu"]))

    def counted(self, key: str, cpu: str | None = None) -> Counter[str]:
        """Of numbers by name that each result has."""
        total: Counter[str] = Counter()
        for result in self.results.values():
            if cpu in (None, result["cpu"]):
                total.update(result[key])
        return total

    @property
    def disagreements(self) -> list[dict[str, Any]]:
        """Those that are not explained, each once, with the CPU models that show it."""
        found: dict[str, dict[str, Any]] = {}
        for (cpu, _), result in sorted(self.results.items()):
            for one in result["found"]:
                rules = [rule["rule"] for rule in one["rules_say"]]
                key = json.dumps([sorted(one["changes"]), one["processor"], rules])
                known = found.setdefault(key, {**one, "times": 0, "cpus": []})
                known["times"] += one["times"]
                if cpu not in known["cpus"]:
                    known["cpus"].append(cpu)
        return sorted(found.values(), key=lambda one: -one["times"])

    @property
    def rate(self) -> float:
        """Entries tried in a second of this run."""
        return self.fresh / self.seconds if self.seconds else 0.0

    @property
    def complete(self) -> bool:
        """Whether every chunk is done."""
        return len(self.results) == len(self.plan.chunks())

    def as_json(self) -> dict[str, Any]:
        """The campaign as one document."""
        return {
            **self.plan.as_json(),
            "directory": str(self.directory),
            "complete": self.complete,
            **{k: self.sum(k) for k in ("cases", "entered", "refused", "left_out")},
            "rate": round(self.rate, 1),
            "rules_alone": len(self.counted("alone")),
            "deviations": dict(self.counted("deviations")),
            "undecided": dict(self.counted("undecided")),
            "unexplained": self.sum("disagreements"),
            "disagreements": self.disagreements,
        }


@contextlib.contextmanager
def opened(directory: Path, plan: Plan | None) -> Iterator[tuple[Total, IO[str]]]:
    """A campaign's directory, new with a plan or old without; and the file for results.

    RunEnded BAD_USAGE if it can't be used, or if another process is at work on it.
    """
    try:
        if plan is None:
            plan = _plan(directory / PLAN)
        else:
            text = json.dumps(plan.as_json(), indent=2) + "\n"
            (directory / PLAN).write_text(text, encoding="utf-8")
        file = (directory / RESULTS).open("a+", encoding="utf-8", errors="replace")
    except OSError as error:
        raise rundir.unwritable(directory, error) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise bad_usage(f"another process works on the campaign in {directory}") from None
        total = Total(plan, directory)
        _read(file, total)
        yield total, file


def _plan(path: Path) -> Plan:
    try:
        return Plan.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        raise bad_usage(f"{path.parent} holds no campaign: there is no {PLAN} in it") from None
    except (KeyError, TypeError, ValueError, RecursionError):
        raise bad_usage(f"{path} is not a campaign's plan") from None


def _read(file: IO[str], total: Total) -> None:
    """Take in earlier results. What was half written when the campaign was killed is cut off."""
    wanted = set(total.plan.chunks())
    file.seek(0)
    whole = 0
    for line in file.read().splitlines(keepends=True):
        try:
            result = json.loads(line)
            work = str(result["cpu"]), int(result["chunk"])
            if not line.endswith("\n") or work not in wanted or not result.keys() >= _KEYS:
                break
        except (ValueError, KeyError, TypeError, RecursionError):
            break
        total.add(result, fresh=False)
        whole += len(line.encode())
    file.seek(whole)
    file.truncate()


def go_on(
    total: Total,
    file: IO[str],
    *,
    jobs: int,
    dask: bool = False,
    address: str | None = None,
    progress: Callable[[Total], None] = lambda _: None,
) -> None:
    """Do all chunks that are not done. ``progress`` is called after each, and before the first."""
    left = [work for work in total.plan.chunks() if work not in total.results]
    progress(total)
    if not left:
        return
    started = time.monotonic()
    workers: Dask | Processes = (
        Dask(total.plan, jobs, address) if dask else Processes(total.plan, min(jobs, len(left)))
    )
    try:
        with workers:
            for result in workers.results(left):
                file.write(json.dumps(result) + "\n")
                file.flush()
                os.fsync(file.fileno())
                total.add(result, fresh=True)
                total.seconds = time.monotonic() - started
                progress(total)
    finally:
        total.seconds = time.monotonic() - started


def save(total: Total) -> list[Path]:
    """Write each disagreement into a file of its own; the files. RunEnded BAD_USAGE if it can't."""
    paths = []
    try:
        for number, one in enumerate(total.disagreements, 1):
            path = total.directory / f"disagreement-{number}.json"
            path.write_text(json.dumps(one, indent=2) + "\n", encoding="utf-8")
            paths.append(path)
    except OSError as error:
        raise rundir.unwritable(total.directory, error) from None
    return paths
