"""Parts of documents that are made from the project's own data, between two marks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path


def replaced(document: str, start: str, body: str, end: str) -> str:
    """``document`` with ``body`` between the marks; ValueError, which names them, without both."""
    before, found_start, rest = document.partition(start)
    _, found_end, after = rest.partition(end)
    if not found_start or not found_end:
        raise ValueError(f"the document has no place for what is between {start} and {end}")
    return f"{before}{start}\n{body}\n{end}{after}"


def bring_up_to_date(path: Path, updated: Callable[[str], str]) -> int:
    """Write the document anew where ``updated`` changes it, and say so; the exit code."""
    old = path.read_text(encoding="utf-8")
    new = updated(old)
    if new != old:
        path.write_text(new, encoding="utf-8")
    print(f"{path}: {'updated' if new != old else 'was up to date'}", file=sys.stderr)
    return 0
