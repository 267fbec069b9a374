"""The commands of ``hv``."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from harness import __version__
from harness.commands import boot, compare, run, tell
from harness.commands.output import complain
from harness.verdict import RunEnded


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
        complain(wrong)
        return wrong.verdict.exit_code


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


for command in (
    tell.list_scenarios,
    run.run,
    boot.boot,
    compare.fuzz,
    compare.diff,
    compare.matrix,
    tell.doctor,
    tell.report,
    tell.explain,
    compare.bench,
):
    hv.add_command(command)
