"""What a bench measured: figures, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Say = Callable[[str], None]
"""Hears what is being measured."""


@dataclass(frozen=True)
class Figure:
    """One measurement. Exact ones are the same in every run of the same image, and have budgets."""

    part: str  # of the bench: "exits"
    name: str  # unique within the part: "bochs-vmx, trace off: CPUID"
    value: float | None  # None: not measured, and the note says why
    unit: str  # "instructions", "s", "x", "%", "MiB"
    exact: bool = False
    note: str = ""  # for people: an aim, a ratio within the run

    @property
    def key(self) -> str:
        """By which budgets name it."""
        return f"{self.part}: {self.name}"

    def shown(self) -> str:
        """The value with its unit, as people read it."""
        if self.value is None:
            return "not measured"
        number = f"{self.value:.0f}" if self.value == int(self.value) else f"{self.value:.3g}"
        return f"{number} {self.unit}"


def as_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """In plain JSON types."""
    return [asdict(figure) for figure in figures]


def rows(figures: Sequence[Figure]) -> list[tuple[str, str, str, str]]:
    """A table, its head first."""
    head = ("part", "figure", "value", "")
    return [head, *((f.part, f.name, f.shown(), f.note) for f in figures)]
