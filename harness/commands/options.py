"""The options that several commands of `hv` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.choose import AUTO, BY_NAME, NAMES
from harness.engines.base import FIRMWARE

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PATH = click.Path(path_type=Path)
engine_option = click.option(
    "--engine",
    type=click.Choice((AUTO, *NAMES, *BY_NAME)),
    default=AUTO,
    help="Run on this engine.",
)
cpu_option = click.option("--cpu", metavar="MODEL", help="The engine's own name of a CPU model.")
firmware_option = click.option(
    "--firmware", type=click.Choice(FIRMWARE), help="What QEMU boots with (qboot unless given)."
)
interactive_option = click.option(
    "--interactive",
    is_flag=True,
    help="The terminal is the machine's console; Ctrl-] then q leaves, ? lists the keys.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
run_dir_option = click.option(
    "--run-dir", type=PATH, help="Keep what the run leaves in this directory."
)


def _no_nan(_ctx: click.Context, _: click.Parameter, value: float | None) -> float | None:
    if value is not None and value != value:  # which every range lets pass
        raise click.BadParameter("nan is no number of seconds")
    return value


timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(0, 1e6, min_open=True),
    callback=_no_nan,
    metavar="S",
    help="Time limit in seconds.",
)


class ScenarioName(click.ParamType[str]):
    """A scenario's name, completed by the shell."""

    name = "scenario"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The scenarios whose names begin like this."""
        from click.shell_completion import CompletionItem

        from harness import scenario

        names = [path.stem for path in scenario.paths()]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]
