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

    ``check``: return 1, and say why, where an exact figure passes its budget. ``document``: bring
    the README's table and the plots in docs/ up to date. Raises RunEnded where a part can't be
    measured.
    """
    import json

    from harness.bench import budgets, figures
    from harness.report.screen import Screen

    screen = Screen(sys.stdout)

    def say(word: str) -> None:
        if not as_json:
            screen.line(f"measuring: {word}")

    chosen = [part for part in PARTS if part in parts or not parts]
    if check and not parts:
        chosen = list(CHECKED)
    found: list[Figure] = []
    for part in chosen:
        measured = measure(part, say)
        keep(part, measured)
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
        complaints = budgets.passed(found, budgets.read())
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


def keep(part: str, measured: Sequence[Figure]) -> None:
    """Write a part's figures, and what can be plotted of them, to build/bench."""
    import json

    from harness import project
    from harness.bench import figures, plots

    place = project.build() / "bench"
    place.mkdir(parents=True, exist_ok=True)
    text = json.dumps(figures.as_json(measured), indent=2) + "\n"
    (place / f"{part}.json").write_text(text, encoding="utf-8")
    for name, svg in plots.of(part, measured).items():
        (place / name).write_text(svg, encoding="utf-8")
