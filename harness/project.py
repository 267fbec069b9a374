"""Where things are in a checkout of the project."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path


def _is_checkout(directory: Path) -> bool:
    file = directory / "pyproject.toml"
    try:
        return _names_us(file, file.stat().st_mtime_ns)
    except (OSError, ValueError):
        return False


@lru_cache(maxsize=8)
def _names_us(file: Path, stamp: int) -> bool:
    """Is it our project's file? It is asked a dozen times a run; ``stamp`` is its time."""
    import tomllib

    return bool(tomllib.loads(file.read_text()).get("project", {}).get("name") == "vanderpool")


def root() -> Path:
    """The checkout: $VANDERPOOL_ROOT, else upwards from here, else where the package lies."""
    named = os.environ.get("VANDERPOOL_ROOT")
    if named:
        return Path(named).resolve()
    here = Path.cwd()
    package = Path(__file__).resolve().parent.parent
    for directory in (here, *here.parents):
        if _is_checkout(directory):
            return directory
    return package


def build() -> Path:
    """What `make` builds and runs leave: $VANDERPOOL_COVERAGE, where images count, else build/."""
    counting = os.environ.get("VANDERPOOL_COVERAGE")
    return root() / (counting or "build")


def image() -> Path:
    """The hypervisor that `make` builds."""
    return build() / "vanderpool.elf"


def probe_image() -> Path:
    """The tiny image that reports what a CPU offers."""
    return build() / "probe.elf"


def guest(name: str) -> Path:
    """The image of our own guest ``name``; whether it is there is for the caller to see."""
    return build() / "guests" / f"{name}.bin"


def guest_file(name: str) -> Path:
    """A file of a guest that is not ours: a kernel, an initial RAM disk; it may be missing."""
    return build() / "guests" / name


def scenarios() -> Path:
    """The directory of the scenario files."""
    return root() / "tests" / "scenarios"


def runs() -> Path:
    """The directory that holds one directory a run."""
    return build() / "runs"


def cache() -> Path:
    """The directory for what was measured once and is kept."""
    return build() / "cache"
