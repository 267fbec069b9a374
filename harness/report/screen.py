"""Where words for people go: one stream, in colours where they are welcome."""

from __future__ import annotations

import os
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

    def line(self, text: str = "") -> None:
        """Write one line."""
        self.write(text + "\n")
