"""`hv diff`, `hv matrix`, `hv fuzz` and `hv bench`: several machines side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from harness.bench import PARTS
from harness.commands.options import PATH, ScenarioName, json_option, run_dir_option


@click.command()
@click.argument("name", type=ScenarioName(), metavar="NAME")
@click.option(
    "--on",
    "machines",
    multiple=True,
    metavar="ENGINE[:CPU]",
    help="One of the machines, the first of which the others are compared with; "
    "bochs and qemu-tcg unless given.",
)
@click.option("--append", default="", metavar="WORDS", help="More hypervisor command line.")
@json_option
def diff(name: str, machines: Sequence[str], append: str, as_json: bool) -> int:
    """Run a scenario on two machines and compare what its guests observe, and their exits.

    What engines may do differently stands in docs/engine-differences.md. The exit code is 1 if
    there is a difference that is not known.
    """
    from harness import diff as comparison

    return comparison.main(name, machines, append=append, as_json=as_json)


@click.command()
@click.argument("names", nargs=-1, type=ScenarioName(), metavar="[NAME]...")
@click.option(
    "--on",
    "machines",
    multiple=True,
    metavar="ENGINE[:CPU]",
    help="One more column, beside bochs, bochs:ryzen, qemu-tcg and qemu-kvm.",
)
@click.option("--html", type=PATH, metavar="FILE", help="Write the matrix as a page, too.")
@json_option
def matrix(names: Sequence[str], machines: Sequence[str], html: Path | None, as_json: bool) -> int:
    """Run scenarios (all, unless named) on every engine and show what came of each.

    The exit code is 1 if anything failed.
    """
    from harness import matrix as table

    return table.main(names, machines, html, as_json=as_json)


@click.group()
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
@click.option("--resume", type=PATH, metavar="DIR", help="Go on with a campaign that was stopped.")
@run_dir_option
@json_option
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


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(PARTS), metavar="[PART]...")
@click.option("--check", is_flag=True, help="Fail where an exact figure passes its budget.")
@click.option("--document", is_flag=True, help="Bring the README's table and the plots up to date.")
@json_option
def bench(parts: Sequence[str], check: bool, document: bool, as_json: bool) -> int:
    """Measure what exits, boots, tests and many guests cost, in one run.

    All parts unless named: exits, breakdown (of their instructions), nested (exits on KVM),
    walks (of memory by nested page tables), scale (2 to 128 guests), workers, boots, startup,
    idle, rivals. JSON and plots are left in build/bench. With --check only what is exact and
    quick, exits and scale, against tests/budgets.toml.
    """
    from harness import bench as stopwatch

    return stopwatch.main(parts, as_json=as_json, check=check, document=document)
