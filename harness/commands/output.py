"""How the commands of `hv` say what they have to say."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.observer import Observer
    from harness.outcome import Outcome
    from harness.report.screen import Screen
    from harness.verdict import RunEnded


def complain(ended: RunEnded) -> None:
    """Tell on stderr why a command can't be carried out, with the evidence."""
    from harness.report.text import plain

    click.echo(f"hv: {plain(ended.sentence.removesuffix('.'))}", err=True)
    for line in ended.evidence:
        click.echo(f"  {plain(line)}", err=True)


def screen() -> Screen:
    """Standard output."""
    from harness.report.screen import Screen

    return Screen(sys.stdout)


def live() -> Observer:
    """Shows one run as it goes on."""
    from harness.report.terminal import Live

    return Live(screen())


def print_json(outcomes: Sequence[Outcome]) -> int:
    """Print outcomes as one JSON document; their exit code."""
    from harness.rundir import to_json

    documents = [to_json(outcome.as_json()) for outcome in outcomes]
    click.echo("[" + ",\n".join(documents) + "]")
    return exit_code(outcomes)


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """Of the first run whose verdict is not "passed", expected or not; 0 if all passed."""
    return next((outcome.exit_code for outcome in outcomes if outcome.exit_code), 0)
