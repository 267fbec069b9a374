"""`hv run`: scenarios, and the verdict of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands.options import (
    PATH,
    ScenarioName,
    cpu_option,
    engine_option,
    firmware_option,
    interactive_option,
    json_option,
    run_dir_option,
    timeout_option,
)
from harness.commands.output import exit_code, live, print_json, screen
from harness.verdict import RunEnded, bad_usage

if TYPE_CHECKING:
    from harness.job import Job
    from harness.observer import Observer
    from harness.outcome import Outcome
    from harness.scenario import Scenario


@click.command()
@click.argument("names", nargs=-1, required=True, type=ScenarioName(), metavar="NAME...")
@engine_option
@cpu_option
@click.option(
    "--until-tick",
    type=click.IntRange(1),
    metavar="N",
    help="Judge after so many emulated instructions instead of at the time limit: on Bochs at that "
    "one; on QEMU, for scenarios that require deterministic, once it is seen to be reached.",
)
@firmware_option
@timeout_option
@click.option("--append", default="", metavar="WORDS", help="More hypervisor command line.")
@interactive_option
@click.option(
    "-v", "--verbose", is_flag=True, help="Show the consoles of several scenarios, not just lines."
)
@click.option(
    "--gdb",
    type=click.IntRange(1, 65535),
    is_flag=False,
    flag_value=1234,
    metavar="[PORT]",
    help="Debug it with gdb: on this loopback port (1234) with QEMU, on a socket file with Bochs.",
)
@click.option(
    "--trace",
    type=PATH,
    metavar="FILE",
    help="Write every exit to FILE: a timeline for Perfetto, or a table if it ends in .txt.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be booted; boot nothing.")
@json_option
@run_dir_option
def run(
    names: Sequence[str],
    engine: str,
    cpu: str | None,
    until_tick: int | None,
    firmware: str | None,
    timeout: float | None,
    append: str,
    interactive: bool,
    verbose: bool,
    gdb: int | None,
    trace: Path | None,
    dry_run: bool,
    as_json: bool,
    run_dir: Path | None,
) -> int:
    """Run scenarios, by name or by file, and report the verdict of each."""
    from harness import runner, scenario
    from harness.job import plan
    from harness.observer import Silent
    from harness.outcome import Outcome

    def wanted() -> list[Scenario]:
        if run_dir is not None and len(names) > 1:
            raise bad_usage("--run-dir holds one run: name one scenario")
        if (interactive or gdb) and (as_json or dry_run or len(names) > 1 or (interactive and gdb)):
            raise bad_usage(
                "--interactive and --gdb are for one scenario each, without --json and --dry-run"
            )
        if trace is not None and (interactive or gdb or dry_run or len(names) > 1):
            raise bad_usage("--trace is for one scenario, without --interactive, --gdb, --dry-run")
        return [scenario.find(name) for name in names]

    def planned(chosen: Scenario) -> Job:
        return plan(
            chosen,
            engine=engine,
            cpu=cpu,
            timeout=timeout,
            append=append,
            firmware=firmware,
            until_tick=until_tick,
        )

    def one(chosen: Scenario) -> Outcome:
        outcome = Outcome(chosen.name, expected=chosen.verdict)
        endless = timeout is None
        if interactive:
            from harness import interactive as keyboard

            return keyboard.run(
                lambda: planned(keyboard.attended(chosen)), outcome, run_dir, endless=endless
            )
        if gdb:
            from harness import gdb as debugger

            return debugger.run(planned, chosen, outcome, run_dir, engine, gdb, endless=endless)
        return runner.run(
            chosen,
            engine=engine,
            cpu=cpu,
            timeout=timeout,
            append=append,
            trace=trace is not None,
            firmware=firmware,
            until_tick=until_tick,
            directory=run_dir,
            observer=Silent() if as_json else watching(chosen.name),
        )

    def watching(name: str) -> Observer:
        if len(names) == 1 or verbose:
            return live()
        from harness.report.progress import Progress

        return Progress(screen(), name)

    try:
        scenarios = wanted()
        if dry_run:
            from harness.report import preview as report

            return report.show([planned(chosen) for chosen in scenarios], as_json=as_json)
    except RunEnded as ended:
        if as_json:
            return print_json([_outcome(" ".join(names), ended)])
        raise
    outcomes = []
    for chosen in scenarios:
        if len(scenarios) > 1 and verbose and not as_json:
            screen().line(f"--- {chosen.name}: {chosen.description}")
        outcomes.append(one(chosen))
        if trace is not None:
            _keep_trace(outcomes[-1], trace, as_json=as_json)
    if as_json:
        return print_json(outcomes)
    _annotate(scenarios, outcomes)
    if len(outcomes) > 1:
        from harness.report.terminal import summary

        summary(screen(), outcomes)
    return exit_code(outcomes)


def _outcome(name: str, ended: RunEnded) -> Outcome:
    from harness.outcome import Outcome

    outcome = Outcome(name)
    outcome.take(ended)
    return outcome


def _keep_trace(outcome: Outcome, path: Path, *, as_json: bool) -> None:
    from harness import timeline
    from harness.report.terminal import shown_path

    if outcome.trace is None:
        if not as_json:
            screen().line("no exit trace could be read out of this machine")
        return
    timeline.write(outcome.trace, path)
    if not as_json:
        screen().table(timeline.summary(outcome.trace))
        lost = f"; {outcome.trace.lost} older ones were overwritten" if outcome.trace.lost else ""
        screen().line(f"{len(outcome.trace.exits)} exits in {shown_path(path)}{lost}")


def _annotate(scenarios: Sequence[Scenario], outcomes: Sequence[Outcome]) -> None:
    """Tell GitHub, where this runs there, of each run that did not end as it should."""
    from harness.report import github

    if github.wanted():
        for chosen, outcome in zip(scenarios, outcomes, strict=True):
            if not outcome.as_expected:
                title = f"{outcome.verdict.word}: {chosen.name}"
                screen().line(github.annotation(chosen.path, 1, title, outcome.sentence))
