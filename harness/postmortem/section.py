"""What a post-mortem is made of: sections of text for people, with the facts behind them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import rundir
from harness.report.text import plain

_PAGE_LINES = 60  # a terminal's page


@dataclass(frozen=True)
class Section:
    """One part of the report. ``page`` lines of it are enough for a terminal (None: all)."""

    title: str
    lines: Sequence[str]
    data: Any = None
    page: int | None = None

    @property
    def head(self) -> str:
        """The title's line, safe for a terminal: a guest's name may be part of it."""
        return f"{plain(self.title)}:"


@dataclass
class PostMortem:
    """The report on one machine."""

    verdict: str
    sentence: str
    sections: list[Section] = field(default_factory=list)

    def text(self) -> str:
        """All of it."""
        lines = [f"{self.verdict}: {plain(self.sentence)}"]
        for section in self.sections:
            lines += ["", section.head, *(f"  {plain(one)}" for one in section.lines)]
        return "\n".join(lines) + "\n"

    def page(self) -> list[str]:
        """What a terminal has room for; the verdict is there already."""
        lines: list[str] = []
        for section in self.sections:
            shown = list(section.lines[: section.page])
            left = len(section.lines) - len(shown)
            if not shown:
                continue
            lines += [section.head, *(f"  {plain(one)}" for one in shown)]
            if left:
                lines.append(f"  ({left} more lines in post-mortem.txt)")
        cut = len(lines) - _PAGE_LINES
        return lines if cut <= 0 else [*lines[:_PAGE_LINES], f"({cut} more in post-mortem.txt)"]

    def as_json(self) -> dict[str, Any]:
        """Every fact."""
        facts = {
            one.title: one.data if one.data is not None else one.lines for one in self.sections
        }
        return {"verdict": self.verdict, "sentence": self.sentence, **facts}

    def write(self, directory: Path) -> None:
        """Keep it in the run directory. RunEnded BAD_USAGE if there is no room."""
        try:
            (directory / "post-mortem.txt").write_text(self.text(), encoding="utf-8")
            document = json.dumps(self.as_json(), indent=1, default=str)
            (directory / "post-mortem.json").write_text(document + "\n", encoding="utf-8")
        except OSError as error:
            raise rundir.unwritable(directory, error) from None
