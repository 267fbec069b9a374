"""Budgets of exact figures: ``tests/budgets.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import project
from harness.bench.figures import Figure
from harness.verdict import bad_usage


def path() -> Path:
    """Where they are written down."""
    return project.root() / "tests" / "budgets.toml"


def read() -> Mapping[str, float]:
    """The budgets by the figure's key; BAD_USAGE if the file can't be read."""
    try:
        parts = tomllib.loads(path().read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise bad_usage(f"{path()} can't be read: {error}.") from None
    budgets: dict[str, float] = {}
    for part, table in parts.items():
        if not isinstance(table, dict):
            raise bad_usage(f"{path()}: {part} is no table.")
        for name, budget in table.items():
            if not isinstance(budget, int | float) or isinstance(budget, bool):
                raise bad_usage(f"{path()}: the budget of {part}: {name} is no number.")
            budgets[f"{part}: {name}"] = budget
    return budgets


def passed(figures: Sequence[Figure], budgets: Mapping[str, float]) -> list[str]:
    """A sentence for each exact figure that passes its budget, and for each that has none though
    its part has budgets.
    """
    complaints = []
    parts = {key.partition(": ")[0] for key in budgets}
    for figure in figures:
        budget = budgets.get(figure.key)
        if not figure.exact or figure.value is None or figure.part not in parts:
            continue
        if budget is None:
            complaints.append(f"{figure.key} is {figure.shown()}, and has no budget.")
        elif figure.value > budget:
            complaints.append(f"{figure.key} is {figure.shown()}, over its budget of {budget:g}.")
    return complaints


def unmeasured(
    figures: Sequence[Figure], budgets: Mapping[str, float], parts: Sequence[str]
) -> list[str]:
    """A sentence for each budget of ``parts`` that no figure was held to, but for those of places
    of which a figure without a value says why they were not measured.
    """
    held = {figure.key for figure in figures if figure.value is not None}
    excused = tuple(f"{figure.key}, " for figure in figures if figure.value is None)
    return [
        f"{key} was not measured."
        for key in budgets
        if key.partition(": ")[0] in parts and key not in held and not key.startswith(excused)
    ]
