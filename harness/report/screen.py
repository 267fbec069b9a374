"""Where words for people go: one stream, in colours where they are welcome."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TextIO

import click


def colourful(stream: TextIO) -> bool:
    """Whether colours are welcome: a terminal that is not dumb, and NO_COLOR is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Screen:
    """Writes to one stream, in colours where they are welcome; flushes at once."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.colours = colourful(stream)

    def styled(self, text: str, **style: Any) -> str:
        """``text`` in a style of `click.style`, or as it is."""
        return click.style(text, **style) if self.colours and text else text

    def write(self, text: str) -> None:
        """Write text as it is."""
        self.stream.write(text)
        self.stream.flush()

    def table(self, rows: Sequence[Sequence[str]], styles: Sequence[str] = ()) -> None:
        """Write rows in columns, the last of which wraps on a terminal; ``styles`` are rich's."""
        if not self.stream.isatty():
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            for row in rows:
                cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
                self.line("  ".join(cells).rstrip())
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        for index in range(len(rows[0]) if rows else 0):
            style = styles[index] if index < len(styles) else ""
            grid.add_column(style=style, no_wrap=index < len(rows[0]) - 1)
        for row in rows:
            grid.add_row(*map(Text, row))
        system: Any = "auto" if self.colours else None
        Console(file=self.stream, color_system=system, highlight=False).print(grid)

    def line(self, text: str = "") -> None:
        """Write one line."""
        self.write(text + "\n")
