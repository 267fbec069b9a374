"""What becomes of an exit trace: a timeline for Perfetto or Chrome, a table, a summary."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.trace import Exit, Trace
from harness.verdict import bad_usage


def write(trace: Trace, path: Path) -> None:
    """Write ``trace`` to ``path``: a table if that ends in .txt, else a trace-event file (JSON).

    RunEnded BAD_USAGE if it can't be written.
    """
    try:
        with path.open("w", encoding="utf-8") as file:
            if path.suffix == ".txt":
                file.writelines(f"{line}\n" for line in table(trace))
            else:
                json.dump({"traceEvents": list(events(trace)), "displayTimeUnit": "ns"}, file)
    except OSError as error:
        raise bad_usage(f"the trace can't be written to {path}: {error.strerror}") from None


def events(trace: Trace) -> Iterator[dict[str, Any]]:
    """Trace events: a track a guest, with what it ran and each of its exits, in microseconds."""
    tracks = {guest: number for number, guest in enumerate(trace.guests(), 1)}
    for guest, number in tracks.items():
        yield {"ph": "M", "name": "thread_name", "pid": 1, "tid": number, "args": {"name": guest}}
    yield {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "guests"}}
    start = trace.exits[0].time if trace.exits else 0

    def slice_of(name: str, guest: str, since: int, until: int) -> dict[str, Any]:
        microseconds = 1e6 / trace.hz
        return {
            "ph": "X", "name": name, "pid": 1, "tid": tracks[guest],
            "ts": round((since - start) * microseconds, 3),
            "dur": round(max(0, until - since) * microseconds, 3),
        }  # fmt: skip

    ended: dict[int, int] = {}  # by processor: when its last exit had been handled
    for one in trace.exits:
        if one.cpu in ended:
            yield {**slice_of("runs", one.guest, ended[one.cpu], one.time), "cat": "guest"}
        ended[one.cpu] = one.time + (one.cycles or 0)
        arguments = {"what": one.what, "rip": f"{one.rip:#x}", "cycles": one.cycles}
        exit_ = slice_of(one.kind, one.guest, one.time, ended[one.cpu])
        yield {**exit_, "cat": "exit", "args": arguments}


def table(trace: Trace) -> Iterator[str]:
    """One line an exit: ticks since the first one, guest, RIP, kind, cycles."""
    start = trace.exits[0].time if trace.exits else 0
    if trace.lost:
        yield f"({trace.lost} older exits were overwritten)"
    width = max((len(one.guest) for one in trace.exits), default=0)
    for one in trace.exits:
        cycles = "not done" if one.cycles is None else f"{one.cycles}"
        place = f"{one.time - start:>12} {one.guest:<{width}} {one.rip:#18x}"
        yield f"{place} {described(one):<40} {cycles:>10}"


def described(one: Exit) -> str:
    """An exit in a few words: "io out 0x3f8"."""
    return f"{one.kind} {one.what}".rstrip()


def summary(trace: Trace) -> list[tuple[str, ...]]:
    """Rows for `harness.report.screen`, the head first."""
    rows: list[tuple[str, ...]] = [
        ("guest", "exit", "count", "cycles: least", "median", "most", "share")
    ]
    for row in trace.summary():
        numbers = (str(number) for number in (row.count, row.least, row.median, row.most))
        rows.append((row.guest, row.kind, *numbers, f"{row.share:.1%}"))
    return rows
