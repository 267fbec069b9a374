"""``hv explain``: a file or standard input in, the cause of a failed VM entry out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

from harness.verdict import bad_usage
from harness.vmentry import explain, processors
from harness.vmentry.capabilities import Capabilities
from harness.vmentry.source import MOST_BYTES, Unreadable


def run(file: Path | None, cpu: str | None, *, as_json: bool) -> int:
    """Explain; 0 if a cause was found, 1 if none was. A `RunEnded` says what can't be explained."""
    name = "standard input" if file is None else str(file)
    processor = _processor(cpu)
    try:
        explanation = explain.explain(explain.read(_contents(file)), processor)
    except Unreadable as wrong:
        raise bad_usage(f"{name} can't be explained: {wrong}") from None
    except OSError as error:
        raise bad_usage(f"{name} can't be read: {error.strerror}") from None
    if as_json:
        import json

        print(json.dumps(explain.document(explanation), indent=2))
    else:
        print("\n".join(explain.lines(explanation)))
    return 0 if explanation.found else 1


def _processor(cpu: str | None) -> Capabilities | None:
    if cpu is None:
        return None
    if cpu not in processors.names():
        known = ", ".join(processors.names())
        raise bad_usage(f"no processor is called {cpu!r}; the capabilities are known of {known}")
    return processors.find(cpu)


def _contents(file: Path | None) -> bytes:
    if file is None:
        if sys.stdin.isatty():
            raise bad_usage("name a file, or give one on standard input")
        return _read(sys.stdin.buffer)
    if file.is_dir():
        directory, file = file, file / "records.jsonl"
        if not file.exists():
            raise bad_usage(f"{directory} is no run directory: there is no {file.name} in it")
    with file.open("rb") as stream:
        return _read(stream)


def _read(stream: BinaryIO) -> bytes:
    """One byte more than is looked at tells that there is too much."""
    return stream.read(MOST_BYTES + 1)
