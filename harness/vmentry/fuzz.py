"""What `hv fuzz vmentry` does, and what it tells people."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import choose, rundir
from harness.report.screen import Screen
from harness.verdict import RunEnded, Verdict, bad_usage
from harness.vmentry import campaign, tester
from harness.vmentry.campaign import Total
from harness.vmentry.chunk import Plan
from harness.vmentry.deviations import table
from harness.vmentry.rules import RULES

SEED, COUNT, ENGINE = 1, 20_000, "bochs"
_SHOWN = 10  # disagreements told in full


@dataclass(frozen=True)
class Request:
    """A command line. None: not given, so the default, or with ``resume`` what the plan says."""

    seed: int | None
    count: int | None
    cpus: Sequence[str]
    engine: str | None
    jobs: int | None
    dask: str | None  # an address; empty for a local cluster
    resume: Path | None
    run_dir: Path | None
    as_json: bool


def run(request: Request) -> int:
    """Carry out a campaign; the exit code. Raises RunEnded."""
    directory, plan = _place(request)
    jobs = request.jobs or len(os.sched_getaffinity(0))
    screen = Screen(sys.stdout)
    with campaign.opened(directory, plan) as (total, file):
        try:
            with _progress(total, quiet=request.as_json) as progress:
                campaign.go_on(
                    total, file, jobs=jobs, dask=request.dask is not None,
                    address=request.dask or None, progress=progress,
                )  # fmt: skip
        except BaseException as error:
            done, chunks = len(total.results), len(total.plan.chunks())
            if done or not isinstance(error, RunEnded):  # else nothing is lost, or nothing can run
                words = f"hv: stopped after {done} of {chunks} chunks"
                print(f"{words}; `hv fuzz vmentry --resume {directory}` goes on", file=sys.stderr)
            raise
        saved = campaign.save(total)
    if request.as_json:
        print(json.dumps(total.as_json(), indent=2))
    else:
        _tell(screen, total, saved)
    return Verdict.FAILED.exit_code if total.sum("disagreements") else 0


def _place(request: Request) -> tuple[Path, Plan | None]:
    """The campaign's directory, and the plan of a new one."""
    if request.resume is not None:
        given = (request.seed, request.count, request.engine, request.run_dir)
        if request.cpus or any(option is not None for option in given):
            raise bad_usage(
                "--resume goes on with what was planned: no --seed, --count, --cpu, --engine or "
                "--run-dir beside it"
            )
        if not request.resume.is_dir():
            raise bad_usage(f"there is no directory {request.resume}")
        return request.resume, None
    name = request.engine or ENGINE
    engine = choose.engine(name)
    plan = Plan(
        SEED if request.seed is None else request.seed,
        COUNT if request.count is None else request.count,
        tuple(dict.fromkeys(request.cpus)) or (engine.default_cpu,),
        name,
        tester.built(),
    )
    return rundir.create("fuzz-vmentry", request.run_dir), plan


@contextlib.contextmanager
def _progress(total: Total, *, quiet: bool) -> Iterator[Callable[[Total], None]]:
    """A line that moves on a terminal, and nothing elsewhere."""
    dull = not sys.stderr.isatty() or os.environ.get("TERM") == "dumb" or os.environ.get("CI")
    if quiet or dull:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("fuzz vmentry"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
        TextColumn("{task.description}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total.plan.count * len(total.plan.cpus))

        def show(now: Total) -> None:
            odd = now.sum("disagreements")
            bar.update(
                task,
                completed=now.sum("cases") + now.sum("left_out"),
                description=f"{now.rate:.0f}/s" + (f", {odd} unexplained" if odd else ""),
            )

        yield show


def unseen(total: Total) -> list[str]:
    """Rows of the table of deviations that did not occur, though every rule's edge was tried."""
    seen = total.counted("deviations")
    plan = total.plan
    ours = [row for row in table() if any(row.concerns(plan.engine, cpu) for cpu in plan.cpus)]
    return [row.id for row in ours if row.id not in seen]


def _tell(screen: Screen, total: Total, saved: Sequence[Path]) -> None:
    plan = total.plan
    cpus = ", ".join(plan.cpus)
    screen.line(
        f"{total.sum('cases')} VM entries on {plan.engine} ({cpus}), seed {plan.seed}: "
        f"{total.sum('entered')} entered, {total.sum('refused')} refused"
    )
    if total.fresh:
        screen.line(f"{total.rate:.0f} entries a second, {total.seconds:.1f} s")
    screen.line(f"{len(total.counted('alone'))} of {len(RULES)} rules were broken alone")
    if left := total.sum("left_out"):
        screen.line(f"{left} left out, at which {plan.engine} is known to end by itself")
    deviations = total.counted("deviations")
    if deviations:
        words = ", ".join(f"{name} {times}" for name, times in sorted(deviations.items()))
        screen.line(f"explained by known deviations of {plan.engine}: {words}")
    if missing := unseen(total):
        screen.line(f"known deviations that did not occur: {', '.join(missing)}")
    if undecided := total.counted("undecided"):
        screen.line(f"rules that could not be judged: {', '.join(sorted(undecided))}")
    found = total.disagreements
    for one, path in list(zip(found, saved, strict=True))[:_SHOWN]:
        screen.line()
        changes = ", ".join(f"{name}={value}" for name, value in one["changes"].items())
        screen.line(f"{path}: {one['times']} times on {', '.join(one['cpus'])}")
        screen.line(f"  {one['base']} guest with {changes}")
        said = f" ({one['engine_says']})" if one["engine_says"] else ""
        screen.line(f"  the processor: {one['processor']}{said}")
        for rule in one["rules_say"] or [{"rule": "the rules", "sentence": "nothing is wrong"}]:
            screen.line(f"  {rule['rule']}: {rule['sentence']}")
    screen.line()
    count = total.sum("disagreements")
    screen.line(
        screen.styled("no unexplained disagreement", fg="green")
        if not count
        else screen.styled(f"{count} unexplained disagreements, {len(found)} kinds", fg="red")
    )
    screen.line(f"kept in {total.directory}")
