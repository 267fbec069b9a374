"""The README's table of figures and the plots in docs/, from what was left in build/bench.

``hv bench --document`` measures and then does this; ``python -m harness.bench.document`` only this.
"""

from __future__ import annotations

import datetime
import json
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path

from harness import generated, project
from harness.bench import PARTS
from harness.bench.figures import Figure
from harness.verdict import bad_usage

START, END = "<!-- hv bench: start -->", "<!-- hv bench: end -->"
PLOTS = ("exits.svg", "scale.svg")


def bring_up_to_date() -> int:
    """Write both anew; the exit code. BAD_USAGE where nothing was measured."""
    place = project.build() / "bench"
    files = [place / f"{part}.json" for part in PARTS]
    measured = [file for file in files if file.exists()]
    if not measured:
        raise bad_usage(f"nothing has been measured yet: {place} has no figures.")
    body = table([figure for file in measured for figure in _read(file)], _today(measured), host())
    for plot in PLOTS:
        if (place / plot).exists():
            shutil.copyfile(place / plot, project.root() / "docs" / plot)
    readme = project.root() / "README.md"
    return generated.bring_up_to_date(
        readme, lambda text: generated.replaced(text, START, body, END)
    )


def _read(file: Path) -> list[Figure]:
    try:
        return [Figure(**row) for row in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise bad_usage(f"{file} has no figures: {error}.") from None


def _today(files: Sequence[Path]) -> str:
    newest = max(file.stat().st_mtime for file in files)
    return datetime.datetime.fromtimestamp(newest, datetime.UTC).date().isoformat()


def host() -> str:
    """This machine in a few words."""
    import os

    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {os.cpu_count()} processors, {platform.system()} {platform.release()}"


def table(figures: Sequence[Figure], date: str, machine: str) -> str:
    """In Markdown: where the figures are from, then a row a figure."""
    lines = [
        f"Measured by `make bench ARGS=--document` on {date}: {machine}.",
        "Instructions are exact, the same on any host; seconds are this host's, busy as it was.",
        "",
        *exit_table([f for f in figures if f.part == "exits"]),
        "| | figure | value | |",
        "|---|---|---|---|",
    ]
    before = ""
    for figure in figures:
        if figure.part == "exits":
            continue
        part = figure.part if figure.part != before else ""
        before = figure.part
        name = figure.name.replace("|", "\\|")
        lines.append(f"| {part} | {name} | {figure.shown()} | {figure.note} |")
    return "\n".join(lines)


def exit_table(figures: Sequence[Figure]) -> list[str]:
    """The costs of exits as a table of their own: a row a kind, a column a processor and trace."""
    cells: dict[str, dict[str, str]] = {}
    columns: dict[str, None] = {}
    for figure in figures:
        column, _, kind = figure.name.partition(": ")
        columns[column] = None
        cells.setdefault(kind, {})[column] = f"{figure.value:g}"
    if not cells:
        return []
    head = f"| instructions | {' | '.join(columns)} |"
    rows = [
        f"| {kind} | {' | '.join(row.get(column, '') for column in columns)} |"
        for kind, row in cells.items()
    ]
    return [head, "|---" * (len(columns) + 1) + "|", *rows, ""]


if __name__ == "__main__":
    raise SystemExit(bring_up_to_date())
