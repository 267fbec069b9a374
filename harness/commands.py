"""The commands of ``hv``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness import __version__
from harness.choose import AUTO, BY_NAME, NAMES
from harness.engines.base import FIRMWARE
from harness.verdict import RunEnded, Verdict, bad_usage

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from harness.job import Job
    from harness.observer import Observer
    from harness.outcome import Outcome
    from harness.report.screen import Screen
    from harness.scenario import Scenario


_PATH = click.Path(path_type=Path)
_engine = click.option(
    "--engine",
    type=click.Choice((AUTO, *NAMES, *BY_NAME)),
    default=AUTO,
    help="Run on this engine.",
)
_cpu = click.option("--cpu", metavar="MODEL", help="The engine's own name of a CPU model.")
_firmware = click.option(
    "--firmware", type=click.Choice(FIRMWARE), help="What QEMU boots with (qboot unless given)."
)
_interactive = click.option(
    "--interactive", is_flag=True, help="Type to the machine's console; Ctrl-] ends."
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
_run_dir = click.option("--run-dir", type=_PATH, help="Keep what the run leaves in this directory.")


def _no_nan(_ctx: click.Context, _: click.Parameter, value: float | None) -> float | None:
    if value is not None and value != value:  # which every range lets pass
        raise click.BadParameter("nan is no number of seconds")
    return value


_timeout = click.option(
    "--timeout",
    type=click.FloatRange(0, 1e6, min_open=True),
    callback=_no_nan,
    metavar="S",
    help="Time limit in seconds.",
)


def invoke(words: Sequence[str]) -> int:
    """Carry out a command line; the exit code. Usage errors are told on stderr."""
    if "_HV_COMPLETE" in os.environ:
        hv.main(args=list(words), prog_name="hv")  # the shell asks for completions
    try:
        # Not by `main`, which has its own idea of what a reader that goes away means.
        with hv.make_context("hv", list(words)) as context:
            result = hv.invoke(context)
            return result if isinstance(result, int) else 0
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except RunEnded as wrong:
        _complain(wrong)
        return wrong.verdict.exit_code


def _complain(ended: RunEnded) -> None:
    from harness.report.text import plain

    click.echo(f"hv: {plain(ended.sentence.removesuffix('.'))}", err=True)
    for line in ended.evidence:
        click.echo(f"  {plain(line)}", err=True)


class _Names(click.ParamType[str]):
    """A scenario's name, completed by the shell."""

    name = "scenario"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from harness import scenario

        names = [path.stem for path in scenario.paths()]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _install_completion(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from harness import completion

        click.echo(completion.install(hv))
        ctx.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hv", message="%(prog)s %(version)s")
@click.option(
    "--install-completion",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_install_completion,
    help="Teach your shell (bash, zsh or fish) to complete `hv`.",
)
def hv() -> None:
    """Boot the Vanderpool hypervisor, or any multiboot kernel, and say precisely what happened."""


@hv.command("list")
@click.option("--tag", metavar="T", help="Only scenarios with this tag.")
def list_scenarios(tag: str | None) -> int:
    """List the scenarios."""
    from harness import scenario

    found: list[Scenario] = []
    broken: list[RunEnded] = []
    for path in scenario.paths():
        try:
            found.append(scenario.load(path))
        except RunEnded as ended:
            broken.append(ended)
    shown = [one for one in found if tag is None or tag in one.tags]
    if tag is not None and not shown and not broken:
        tags = sorted({word for one in found for word in one.tags})
        hint = scenario.suggestion(tag, tags) or f"the tags are {', '.join(tags) or 'none'}"
        raise bad_usage(f"no scenario has the tag {tag!r}; {hint}")
    _show_list(shown)
    for wrong in broken:
        _complain(wrong)
    return broken[0].verdict.exit_code if broken else 0


def _show_list(shown: Sequence[Scenario]) -> None:
    from harness.report.screen import Screen

    rows = [
        (one.name, ", ".join(one.tags), " ".join(one.needs()), one.description) for one in shown
    ]
    Screen(sys.stdout).table(rows, ("bold", "cyan", "green"))


@hv.command()
@click.argument("names", nargs=-1, required=True, type=_Names(), metavar="NAME...")
@_engine
@_cpu
@click.option(
    "--until-tick",
    type=click.IntRange(1),
    metavar="N",
    help="Stop after so many emulated instructions instead of at the time limit; Bochs only.",
)
@_firmware
@_timeout
@click.option("--append", default="", metavar="WORDS", help="More hypervisor command line.")
@_interactive
@click.option(
    "-v", "--verbose", is_flag=True, help="Show the consoles of several scenarios, not just lines."
)
@click.option(
    "--gdb",
    type=click.IntRange(1, 65535),
    is_flag=False,
    flag_value=1234,
    metavar="[PORT]",
    help="Debug it: gdb on this loopback port (1234) with QEMU, Bochs's own debugger with Bochs.",
)
@click.option(
    "--trace",
    type=_PATH,
    metavar="FILE",
    help="Write every exit to FILE: a timeline for Perfetto, or a table if it ends in .txt.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be booted; boot nothing.")
@_json
@_run_dir
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

            return keyboard.run(lambda: planned(chosen), outcome, run_dir, endless=endless)
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
            return _live()
        from harness.report.progress import Progress

        return Progress(_screen(), name)

    try:
        scenarios = wanted()
        if dry_run:
            from harness.report import preview as report

            return report.show([planned(chosen) for chosen in scenarios], as_json=as_json)
    except RunEnded as ended:
        if as_json:
            return _as_json([_outcome(" ".join(names), ended)])
        raise
    outcomes = []
    for chosen in scenarios:
        if len(scenarios) > 1 and verbose and not as_json:
            _screen().line(f"--- {chosen.name}: {chosen.description}")
        outcomes.append(one(chosen))
        if trace is not None:
            _keep_trace(outcomes[-1], trace, as_json=as_json)
    if as_json:
        return _as_json(outcomes)
    _annotate(scenarios, outcomes)
    if len(outcomes) > 1:
        from harness.report.terminal import summary

        summary(_screen(), outcomes)
    return _exit_code(outcomes)


@hv.command()
@click.argument("image", type=_PATH)
@click.option("--module", "modules", multiple=True, metavar='"FILE ARGS"', help="A module to load.")
@click.option("--append", default="", metavar="WORDS", help="The kernel's command line.")
@_engine
@_cpu
@_firmware
@click.option("--smp", type=click.IntRange(1, 255), default=1, metavar="N", help="CPUs.")
@click.option("--mem", type=click.IntRange(1), default=128, metavar="MIB", help="Memory in MiB.")
@_timeout
@click.option("--expect", multiple=True, metavar="REGEX", help="End when the console shows this.")
@_interactive
@_json
@_run_dir
def boot(
    image: Path,
    modules: Sequence[str],
    append: str,
    engine: str,
    cpu: str | None,
    firmware: str | None,
    smp: int,
    mem: int,
    timeout: float | None,
    expect: Sequence[str],
    interactive: bool,
    as_json: bool,
    run_dir: Path | None,
) -> int:
    """Boot any multiboot 1 kernel and show its console.

    It runs until every --expect was seen in this order, or without one until the machine powers
    off; or until the time limit (60 s unless given).
    """
    from harness import anykernel, runner
    from harness.observer import Silent
    from harness.outcome import Outcome

    request = anykernel.Request(
        image=image,
        modules=tuple(modules),
        append=append,
        engine=engine,
        cpu=cpu,
        firmware=firmware,
        cpus=smp,
        memory_mib=mem,
        timeout=timeout,
        expect=tuple(expect),
    )
    outcome = Outcome(image.stem)
    if interactive:
        from harness import interactive as keyboard

        if as_json:
            raise bad_usage("--interactive and --json are for different readers")
        endless = timeout is None
        keyboard.run(lambda: anykernel.plan(request), outcome, run_dir, endless=endless)
    else:
        runner.execute(
            lambda: anykernel.plan(request),
            outcome,
            directory=run_dir,
            observer=Silent() if as_json else _live(),
        )
    return _as_json([outcome]) if as_json else outcome.exit_code


@hv.group()
def fuzz() -> None:
    """Compare what processors do with what the manual says, at random."""


@fuzz.command("vmentry")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="What the cases come from (1).")
@click.option("--count", type=click.IntRange(1), metavar="N", help="Cases on each CPU (20000).")
@click.option("--cpu", "cpus", multiple=True, metavar="MODEL", help="A CPU model; repeatable.")
@click.option("--engine", type=click.Choice(("bochs", "qemu-kvm")), help="Run on this (bochs).")
@click.option("--jobs", type=click.IntRange(1, 1024), metavar="N", help="Processes (one a CPU).")
@click.option(
    "--dask",
    is_flag=False,
    flag_value="",
    metavar="[ADDRESS]",
    help="Spread over the Dask cluster of this scheduler, or a local one.",
)
@click.option("--resume", type=_PATH, metavar="DIR", help="Go on with a campaign that was stopped.")
@_run_dir
@_json
def fuzz_vmentry(
    seed: int | None,
    count: int | None,
    cpus: Sequence[str],
    engine: str | None,
    jobs: int | None,
    dask: str | None,
    resume: Path | None,
    run_dir: Path | None,
    as_json: bool,
) -> int:
    """Try mutated VMCSs, and compare each VM entry's verdict with the explainer's.

    Every rule's edge comes first, then what the seed gives. A disagreement is made as small as it
    gets and kept, unless the table of the engine's deviations explains it.
    """
    from harness.vmentry import fuzz as fuzzer

    request = fuzzer.Request(seed, count, cpus, engine, jobs, dask, resume, run_dir, as_json)
    return fuzzer.run(request)


@hv.command()
@click.argument("name", type=_Names(), metavar="NAME")
@click.option(
    "--on",
    "machines",
    multiple=True,
    metavar="ENGINE[:CPU]",
    help="One of the machines, the first of which the others are compared with; "
    "bochs and qemu-tcg unless given.",
)
@click.option("--append", default="", metavar="WORDS", help="More hypervisor command line.")
@_json
def diff(name: str, machines: Sequence[str], append: str, as_json: bool) -> int:
    """Run a scenario on two machines and compare what its guests observe, and their exits.

    What engines may do differently stands in docs/engine-differences.md. The exit code is 1 if
    there is a difference that is not known.
    """
    from harness import diff as comparison

    return comparison.main(name, machines, append=append, as_json=as_json)


@hv.command()
@click.argument("names", nargs=-1, type=_Names(), metavar="[NAME]...")
@click.option(
    "--on",
    "machines",
    multiple=True,
    metavar="ENGINE[:CPU]",
    help="One more column, beside bochs, bochs:ryzen, qemu-tcg and qemu-kvm.",
)
@click.option("--html", type=_PATH, metavar="FILE", help="Write the matrix as a page, too.")
@_json
def matrix(names: Sequence[str], machines: Sequence[str], html: Path | None, as_json: bool) -> int:
    """Run scenarios (all, unless named) on every engine and show what came of each.

    The exit code is 1 if anything failed.
    """
    from harness import matrix as table

    return table.main(names, machines, html, as_json=as_json)


@hv.command()
@_json
def doctor(as_json: bool) -> int:
    """Say what this host offers, and what would enable more."""
    from harness import doctor as physician

    findings = physician.examine()
    if as_json:
        import json

        click.echo(json.dumps(findings.as_json(), indent=2))
    else:
        physician.show(findings, _screen())
    return 0 if findings.usable else Verdict.ENGINE_MISSING.exit_code


@hv.command()
@click.argument("directory", type=_PATH, required=False, metavar="[DIR]")
@click.option("--output", type=_PATH, metavar="FILE.html", help="Where to (DIR/report.html).")
def report(directory: Path | None, output: Path | None) -> int:
    """Write one HTML page about all runs in DIR (build/runs), failures first."""
    from harness import project
    from harness.report import page, session

    place = directory or project.runs()
    target = output or place / "report.html"
    page.write(session.of_directory(place), target)
    _screen().line(f"report: {target}")
    return 0


@hv.command()
@click.argument("file", type=_PATH, required=False, metavar="[FILE]")
@click.option("--cpu", metavar="MODEL", help="Take the capabilities of this processor.")
@_json
def explain(file: Path | None, cpu: str | None, as_json: bool) -> int:
    """Say which rules a failed VM entry breaks, with the values.

    FILE (or standard input, which is - too) is a run directory or its records.jsonl, KVM's or Xen's
    VMCS dump in a kernel's log, Bochs' log, or name=value lines. A dump that does not tell its
    processor's capabilities is judged by what every processor refuses, or by the MODEL's. The exit
    code is 0 if a cause was found, 1 if none was, 2 if FILE can't be explained.
    """
    from harness.vmentry import command

    return command.run(None if file == Path("-") else file, cpu, as_json=as_json)


@hv.command()
@_json
def bench(as_json: bool) -> int:
    """Measure the harness itself against bare engines, in one run."""
    from harness import bench as stopwatch

    return stopwatch.main(as_json=as_json)


def _keep_trace(outcome: Outcome, path: Path, *, as_json: bool) -> None:
    from harness import timeline
    from harness.report.terminal import shown_path

    if outcome.trace is None:
        if not as_json:
            _screen().line("no exit trace could be read out of this machine")
        return
    timeline.write(outcome.trace, path)
    if not as_json:
        _screen().table(timeline.summary(outcome.trace))
        lost = f"; {outcome.trace.lost} older ones were overwritten" if outcome.trace.lost else ""
        _screen().line(f"{len(outcome.trace.exits)} exits in {shown_path(path)}{lost}")


def _screen() -> Screen:
    from harness.report.screen import Screen

    return Screen(sys.stdout)


def _live() -> Observer:
    from harness.report.terminal import Live

    return Live(_screen())


def _outcome(name: str, ended: RunEnded) -> Outcome:
    from harness.outcome import Outcome

    outcome = Outcome(name)
    outcome.take(ended)
    return outcome


def _as_json(outcomes: Sequence[Outcome]) -> int:
    from harness.rundir import to_json

    documents = [to_json(outcome.as_json()) for outcome in outcomes]
    click.echo("[" + ",\n".join(documents) + "]")
    return _exit_code(outcomes)


def _annotate(scenarios: Sequence[Scenario], outcomes: Sequence[Outcome]) -> None:
    """Tell GitHub, where this runs there, of each run that did not end as it should."""
    from harness.report import github

    if github.wanted():
        for chosen, outcome in zip(scenarios, outcomes, strict=True):
            if not outcome.as_expected:
                title = f"{outcome.verdict.word}: {chosen.name}"
                _screen().line(github.annotation(chosen.path, 1, title, outcome.sentence))


def _exit_code(outcomes: Sequence[Outcome]) -> int:
    return next((outcome.exit_code for outcome in outcomes if outcome.exit_code), 0)
