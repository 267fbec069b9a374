"""``hv bench``: what exits, boots, tests and many guests cost, and ``--check``: whether that is too
much.

Exact figures are counted in instructions, on Bochs, and have budgets. All the others depend on the
host: they stand beside another figure of the same run, and nothing is a test of them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from harness.bench.figures import Figure, Say

PARTS = (
    *("exits", "breakdown", "nested", "walks", "scale"),
    *("workers", "boots", "startup", "idle", "rivals"),
)
CHECKED = ("exits", "scale")
"""What `--check` measures: the parts that are exact and quick."""


def main(
    parts: Sequence[str] = (), *, as_json: bool = False, check: bool = False, document: bool = False
) -> int:
    """Measure the named parts, or all of them; print a table; write JSON and plots to build/bench.

    A part that can't be measured is in the table with the reason. ``check``: return 1, and say why,
    where an exact figure passes its budget or was not measured. ``document``: bring the README's
    table and the plots in docs/ up to date. Raises RunEnded where the image is stale, and with
    ``check`` where a part can't be measured.
    """
    import json

    from harness import job, project
    from harness.bench import budgets, figures, machines
    from harness.report.screen import Screen
    from harness.verdict import RunEnded

    screen = Screen(sys.stdout)

    def say(word: str) -> None:
        if not as_json:
            screen.line(f"measuring: {word}")

    chosen = [part for part in PARTS if part in parts or not parts]
    if check and not parts:
        chosen = list(CHECKED)
    job.require_fresh(project.image())
    place = _place()
    found: list[Figure] = []
    for part in chosen:
        try:
            measured = measure(part, say)
        except RunEnded as reason:
            if check:
                raise
            # What the others measured is worth having all the same.
            measured = [figures.Figure(part, "all of it", None, "", note=reason.sentence)]
        finally:
            machines.end_appliance()
        keep(place, part, measured)
        found += measured
    if as_json:
        screen.line(json.dumps(figures.as_json(found), indent=2))
    else:
        screen.line()
        screen.table(figures.rows(found))
    if document:
        from harness.bench import document as readme

        readme.bring_up_to_date()
    if check:
        granted = budgets.read()
        exact = [part for part in chosen if part in CHECKED]
        complaints = budgets.passed(found, granted) + budgets.unmeasured(found, granted, exact)
        for complaint in complaints:
            print(complaint, file=sys.stderr)
        return 1 if complaints else 0
    return 0


def measure(part: str, say: Say) -> list[Figure]:
    """The figures of one part: of the module that has its name."""
    from importlib import import_module

    module = import_module(f"harness.bench.{part}")
    figures: list[Figure] = module.measure(say)
    return figures


def _place() -> Path:
    """Where figures are kept; BAD_USAGE, before anything is measured, where they can't be."""
    from harness import project
    from harness.verdict import bad_usage

    place = project.build() / "bench"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise bad_usage(f"{place} can't be made: {error.strerror}.") from None
    return place


def keep(place: Path, part: str, measured: Sequence[Figure]) -> None:
    """Write a part's figures, and what can be plotted of them, to ``place``."""
    import json

    from harness.bench import figures, plots

    text = json.dumps(figures.as_json(measured), indent=2) + "\n"
    (place / f"{part}.json").write_text(text, encoding="utf-8")
    for name, svg in plots.of(part, measured).items():
        (place / name).write_text(svg, encoding="utf-8")
