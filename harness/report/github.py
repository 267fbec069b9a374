"""Annotations for GitHub's view of a change: one workflow command a failure."""

from __future__ import annotations

import os
from pathlib import Path

from harness import project

LONGEST = 4000  # characters of a message


def wanted() -> bool:
    """Whether this runs in a workflow of GitHub's."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def annotation(path: Path | str, line: int, title: str, message: str) -> str:
    """The command that shows ``message`` at a line of a file.

    What a guest said may be part of it, so nothing in it can start a command of its own.
    """
    file = str(path)
    root = os.environ.get("GITHUB_WORKSPACE") or str(project.root())
    if file.startswith(root.rstrip("/") + "/"):
        file = file[len(root.rstrip("/")) + 1 :]
    place = f"file={_property(file)},line={max(1, line)},title={_property(title)}"
    return f"::error {place}::{_data(message[:LONGEST])}"


def _data(text: str) -> str:
    # As in actions/toolkit, packages/core/src/command.ts.
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
