"""The README's table of figures, the plots in docs/ and docs/exit-costs.md, from build/bench.

``hv bench --document`` measures and then does this; ``python -m harness.bench.document`` only this.
"""

from __future__ import annotations

import datetime
import json
import platform
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness import generated, project
from harness.bench import PARTS
from harness.bench.figures import Figure
from harness.verdict import bad_usage

START, END = "<!-- hv bench: start -->", "<!-- hv bench: end -->"
PLOTS = ("exits.svg", "scale.svg", "workers.svg")


def bring_up_to_date() -> int:
    """Write both anew; the exit code. BAD_USAGE where nothing was measured."""
    place = project.build() / "bench"
    files = [place / f"{part}.json" for part in PARTS]
    measured = [file for file in files if file.exists()]
    if not measured:
        raise bad_usage(f"nothing has been measured yet: {place} has no figures.")
    figures = [figure for file in measured for figure in _read(file)]
    body = table(figures, _today(measured), host())
    for plot in PLOTS:
        if (place / plot).exists():
            shutil.copyfile(place / plot, project.root() / "docs" / plot)
    functions = by_function([one for one in figures if one.part == "breakdown"])
    for name, part in (("README.md", body), ("docs/exit-costs.md", functions)):
        if part:
            _write(project.root() / name, part)
    return 0


def _write(document: Path, body: str) -> None:
    generated.bring_up_to_date(document, lambda text: generated.replaced(text, START, body, END))


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
    """In Markdown: where the figures are from, then tables, and a row for each that is in none."""
    lines = [
        f"Measured by `make bench ARGS=--document` on {date}: {machine}.",
        "Instructions are exact, the same on any host; seconds are this host's, busy as it was.",
        "",
    ]

    def of(*parts: str) -> list[Figure]:
        return [one for one in figures if one.part in parts and one.value is not None]

    lines += grid("instructions (nested: ticks)", of("exits", "nested"), by_kind=True)
    lines += sentences([one for one in of("breakdown") if _place(one).endswith(", CPUID")])
    lines += grid("walks of page tables", of("walks"), by_kind=False)
    lines += grid("guests at once", of("scale"), by_kind=True)
    in_tables = of("exits", "nested", "breakdown", "walks", "scale")
    rows = []
    before = ""
    for figure in figures:
        if figure in in_tables:
            continue
        part = figure.part if figure.part != before else ""
        before = figure.part
        name = figure.name.replace("|", "\\|")
        rows.append(f"| {part} | {name} | {figure.shown()} | {figure.note} |")
    head = ["| | figure | value | |", "|---|---|---|---|"]
    return "\n".join([*lines, *(head if rows else ()), *rows])


def grid(title: str, figures: Sequence[Figure], *, by_kind: bool) -> list[str]:
    """A table of figures called "PLACE: KIND": a row a kind and a column a place, or the other
    way. Units that differ are in the cells.
    """
    cells: dict[str, dict[str, Figure]] = {}
    columns: dict[str, None] = {}
    for figure in figures:
        place, _, kind = figure.name.partition(": ")
        row, column = (kind, place) if by_kind else (place, kind)
        columns[column] = None
        cells.setdefault(row, {})[column] = figure
    if not cells:
        return []
    plain = all(figure.unit in ("instructions", "ticks") for figure in figures)

    def shown(figure: Figure | None) -> str:
        if figure is None:
            return ""
        note = f" ({figure.note})" if figure.note and not by_kind else ""
        return f"{figure.value:g}" if plain else figure.shown() + note

    return [
        f"| {title} | {' | '.join(columns)} |",
        "|---" * (len(columns) + 1) + "|",
        *(
            f"| {name} | {' | '.join(shown(row.get(column)) for column in columns)} |"
            for name, row in cells.items()
        ),
        "",
    ]


def _place(figure: Figure) -> str:
    return figure.name.partition(": ")[0]


def sentences(figures: Sequence[Figure]) -> list[str]:
    """One a place: how many instructions each function has of an exit."""
    places: dict[str, list[str]] = {}
    for figure in figures:
        function = figure.name.partition(": ")[2]
        places.setdefault(_place(figure), []).append(f"`{function}` {figure.value:g}")
    lines = [f"- {place}, by function: {', '.join(parts)}." for place, parts in places.items()]
    return [*lines, ""] if lines else []


def by_function(figures: Sequence[Figure]) -> str:
    """A table a processor: how many instructions each function has of each kind of exit."""
    processors: dict[str, list[Figure]] = {}
    for figure in figures:
        processor, _, kind = figure.name.partition(", ")
        kind, _, function = kind.partition(": ")
        processors.setdefault(processor, []).append(replace(figure, name=f"{kind}: `{function}`"))
    lines: list[str] = []
    for processor, of_it in processors.items():
        lines += [f"## {processor}", "", *grid("instructions", of_it, by_kind=True)]
    return "\n".join(lines).strip()


if __name__ == "__main__":
    raise SystemExit(bring_up_to_date())
