"""`hv boot`: any multiboot kernel, ours or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from harness.commands.options import (
    PATH,
    cpu_option,
    engine_option,
    firmware_option,
    interactive_option,
    json_option,
    run_dir_option,
    timeout_option,
)
from harness.commands.output import live, print_json
from harness.verdict import bad_usage


@click.command()
@click.argument("image", type=PATH)
@click.option("--module", "modules", multiple=True, metavar='"FILE ARGS"', help="A module to load.")
@click.option("--append", default="", metavar="WORDS", help="The kernel's command line.")
@engine_option
@cpu_option
@firmware_option
@click.option("--smp", type=click.IntRange(1, 255), default=1, metavar="N", help="CPUs.")
@click.option("--mem", type=click.IntRange(1), default=128, metavar="MIB", help="Memory in MiB.")
@timeout_option
@click.option("--expect", multiple=True, metavar="REGEX", help="End when the console shows this.")
@interactive_option
@json_option
@run_dir_option
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
            observer=Silent() if as_json else live(),
        )
    return print_json([outcome]) if as_json else outcome.exit_code
