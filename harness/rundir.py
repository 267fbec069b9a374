"""Run directories: ``build/runs/<UTC time>-<scenario>[-n]/`` keeps what one run left behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import project
from harness.verdict import RunEnded, bad_usage

KEPT_PASSES = 20
"""So many directories of runs that ended as they should are kept; all others are."""

SETTLED_SECONDS = 10.0
"""So long a finished directory is left alone, however many there are."""

_AS_EXPECTED = "as-expected"  # an empty file in a finished directory that may be pruned one day
_PRUNED = ".pruned-"


def create(name: str, directory: Path | None = None) -> Path:
    """A new, empty directory for one run of ``name``, never shared with another run.

    ``directory`` asks for that very place; RunEnded BAD_USAGE if it is taken or can't be made.
    """
    if directory is not None:
        return _claim(directory)
    base = project.runs()
    label = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:60] or "run"
    stem = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{label}"
    try:
        base.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            path = base / (stem if number == 1 else f"{stem}-{number}")
            try:
                path.mkdir()
            except FileExistsError:
                number += 1
            else:
                return path
    except OSError as error:
        raise bad_usage(f"no run directory can be made in {base}: {error.strerror}") from None


def _claim(directory: Path) -> Path:
    path = directory.absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        empty = not any(path.iterdir())
    except (FileExistsError, NotADirectoryError):
        raise bad_usage(f"the run directory {directory} is taken by a file") from None
    except OSError as error:
        raise bad_usage(f"the run directory {directory}: {error.strerror}") from None
    if not empty:
        raise bad_usage(f"the run directory {directory} is taken: it is not empty")
    # Two runs that were given the same empty directory: only one gets past this line.
    try:
        (path / "claimed").touch(exist_ok=False)
    except OSError:
        raise bad_usage(f"the run directory {directory} is taken by another run") from None
    return path


def unwritable(directory: Path, error: OSError) -> RunEnded:
    """The exception for a file in ``directory`` that could not be written: a full disk, mostly."""
    return bad_usage(f"the run directory {directory} can't be written: {error.strerror}")


def finish(directory: Path, outcome: Mapping[str, Any], *, as_expected: bool) -> None:
    """Write ``outcome.json``, whole or not at all; prune older runs that ended as they should.

    RunEnded BAD_USAGE if it can't be written.
    """
    written = directory / "outcome.json.new"
    try:
        written.write_text(to_json(outcome) + "\n", encoding="utf-8")
        written.replace(directory / "outcome.json")
        if as_expected and directory.parent == project.runs():
            (directory / _AS_EXPECTED).touch()
    except OSError as error:
        with contextlib.suppress(OSError):
            written.unlink()
        raise unwritable(directory, error) from None
    keep_all = os.environ.get("VANDERPOOL_KEEP_RUNS") == "all"
    if as_expected and directory.parent == project.runs() and not keep_all:
        prune(directory.parent, KEPT_PASSES)


def to_json(outcome: Mapping[str, Any]) -> str:
    """An outcome as one JSON document; records that JSON has no room for are left out."""
    try:
        return json.dumps(outcome, indent=2, allow_nan=False)
    except (ValueError, RecursionError):  # NaN, or nested too deep: a guest's doing
        unspeakable: dict[str, Any] = {"facts": {}, "records": [], "crashes": []}
        return json.dumps({**outcome, **unspeakable}, indent=2)


def prune(base: Path, keep: int) -> None:
    """Remove all but the newest ``keep`` directories of runs that ended as they should.

    Safe beside other runs: an unfinished directory has no mark; a directory is renamed, which
    only one process can do, before it is emptied; and it is left alone while its name, which is
    unique to a second, could still come again for another run.
    """
    settled = time.time() - SETTLED_SECONDS
    marked = sorted((mark.parent for mark in base.glob(f"[!.]*/{_AS_EXPECTED}")), reverse=True)
    for old in marked[keep:]:
        doomed = base / f"{_PRUNED}{os.getpid()}-{old.name}"
        try:
            if (old / _AS_EXPECTED).stat().st_mtime > settled:
                continue
            old.rename(doomed)
        except OSError:
            continue  # another run was faster
    for doomed in base.glob(f"{_PRUNED}*"):  # also what a killed harness left half done
        shutil.rmtree(doomed, ignore_errors=True)


def write_replay(directory: Path, command: Sequence[str], argv: Sequence[str]) -> None:
    """Write ``argv.json`` and an executable ``replay.sh`` that does the same run again.

    ``command`` is what follows ``hv``; ``argv`` is the engine's own command line, shown in a
    comment because it needs the harness at its other end to do anything. RunEnded BAD_USAGE if
    they can't be written.
    """
    try:
        _write_replay(directory, command, argv)
    except OSError as error:
        raise unwritable(directory, error) from None


def _write_replay(directory: Path, command: Sequence[str], argv: Sequence[str]) -> None:
    (directory / "argv.json").write_text(json.dumps(list(argv), indent=2) + "\n", encoding="utf-8")
    root = project.root()
    # A comment ends at the line's end, so a word with a line break in it must not reach one raw.
    shown = [" ".join(part.splitlines()) for part in (shlex.quote(word) for word in argv)]
    lines = [
        "#!/bin/sh",
        f"# Runs again what left {directory.name}; further options go to `hv`.",
        "# The engine itself was started as:",
        *(f"#   {word}" for word in shown),
        f"export VANDERPOOL_ROOT={shlex.quote(str(root))}",
        'cd "$VANDERPOOL_ROOT" || exit',
        f'exec {shlex.quote(sys.executable)} -m harness {shlex.join(command)} "$@"',
    ]
    script = directory / "replay.sh"
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    script.chmod(0o755)
