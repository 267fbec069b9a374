"""How long things took, as a histogram: where the time of a session goes, at one look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

BOUNDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds at which one class ends and the next begins."""

_WIDTH = 40  # characters of the longest bar


def histogram(seconds: Iterable[float]) -> list[str]:
    """Lines: each class with how many fell into it, a bar, and what they took together."""
    values = list(seconds)
    if not values:
        return []
    edges = [0.0, *BOUNDS, float("inf")]
    classes = [
        (low, high, [value for value in values if low <= value < high])
        for low, high in pairwise(edges)
    ]
    shown = _trimmed(classes)
    most = max(len(found) for _, _, found in shown)
    lines = []
    for low, high, found in shown:
        name = f"{low:g} to {high:g} s" if high != float("inf") else f"over {low:g} s"
        bar = "#" * -(-len(found) * _WIDTH // most)
        lines.append(f"{name:>12} {len(found):5}  {bar:<{_WIDTH}}  {sum(found):8.1f} s")
    return lines


Class = tuple[float, float, list[float]]


def _trimmed(classes: Sequence[Class]) -> Sequence[Class]:
    """Without the empty classes at both ends."""
    filled = [index for index, (_, _, found) in enumerate(classes) if found]
    return classes[filled[0] : filled[-1] + 1]
