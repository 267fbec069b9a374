"""Names of files in the appliance: by content, so that equal files are sent once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from harness import project


def name(path: Path) -> str:
    """The name under which the appliance keeps what ``path`` holds. OSError if it can't be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known() -> dict[str, Path]:
    """What is built by now, by its name: worth having there from the start."""
    return {name(path): path for path in _built()}


def _built() -> Iterator[Path]:
    build = project.root() / "build"
    yield from build.glob("*.elf")
    yield from (build / "guests").glob("*.bin")
