"""`hv list`, `hv doctor`, `hv report` and `hv explain`: they start no scenario."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands.options import PATH, json_option
from harness.commands.output import complain, screen
from harness.verdict import RunEnded, Verdict, bad_usage

if TYPE_CHECKING:
    from harness.scenario import Scenario


@click.command("list")
@click.option("--tag", metavar="T", help="Only scenarios with this tag.")
def list_scenarios(tag: str | None) -> int:
    """List the scenarios."""
    from harness import scenario
    from harness.tables import suggestion

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
        hint = suggestion(tag, tags) or f"the tags are {', '.join(tags) or 'none'}"
        raise bad_usage(f"no scenario has the tag {tag!r}; {hint}")
    _show_list(shown)
    for wrong in broken:
        complain(wrong)
    return broken[0].verdict.exit_code if broken else 0


def _show_list(shown: Sequence[Scenario]) -> None:
    rows = [
        (one.name, ", ".join(one.tags), " ".join(one.needs()), one.description) for one in shown
    ]
    screen().table(rows, ("bold", "cyan", "green"))


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Say what this host offers, and what would enable more."""
    from harness import doctor as physician

    findings = physician.examine()
    if as_json:
        import json

        click.echo(json.dumps(findings.as_json(), indent=2))
    else:
        physician.show(findings, screen())
    return 0 if findings.usable else Verdict.ENGINE_MISSING.exit_code


@click.command()
@click.argument("directory", type=PATH, required=False, metavar="[DIR]")
@click.option("--output", type=PATH, metavar="FILE.html", help="Where to (DIR/report.html).")
def report(directory: Path | None, output: Path | None) -> int:
    """Write one HTML page about all runs in DIR (build/runs), failures first."""
    from harness import project
    from harness.report import page, session

    place = directory or project.runs()
    target = output or place / "report.html"
    page.write(session.of_directory(place), target)
    screen().line(f"report: {target}")
    return 0


@click.command()
@click.argument("file", type=PATH, required=False, metavar="[FILE]")
@click.option("--cpu", metavar="MODEL", help="Take the capabilities of this processor.")
@json_option
def explain(file: Path | None, cpu: str | None, as_json: bool) -> int:
    """Say which rules a failed VM entry breaks, with the values.

    FILE (or standard input, which is - too) is a run directory or its records.jsonl, KVM's or Xen's
    VMCS dump in a kernel's log, Bochs' log, or name=value lines. A dump that does not tell its
    processor's capabilities is judged by what every processor refuses, or by the MODEL's. The exit
    code is 0 if a cause was found, 1 if none was, 2 if FILE can't be explained.
    """
    from harness.vmentry import command

    return command.run(None if file == Path("-") else file, cpu, as_json=as_json)
