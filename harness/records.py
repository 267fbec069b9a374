"""The machine's records: one JSON object a line on COM2, from a sender that may be hostile."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

LONGEST_LINE = 64 * 1024  # bytes; a longer line is dropped whole
MOST_RECORDS = 100_000  # a flood beyond this is counted, not kept
MOST_PROBLEMS = 100


@dataclass(frozen=True)
class Record(Mapping[str, Any]):
    """One record, as the machine wrote it; ``data`` is the whole object."""

    seq: int
    kind: str
    data: Mapping[str, Any] = field(hash=False)

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def matches(self, kind: str, where: Mapping[str, Any]) -> bool:
        """Is it of ``kind``, with all of ``where`` in it (of nested objects, what is named)?"""
        return self.kind == kind and contains(self.data, where)

    def __str__(self) -> str:
        return json.dumps(self.data, ensure_ascii=True)


def contains(value: Any, wanted: Any) -> bool:
    """Does ``value`` have all of ``wanted``? Objects may have more keys, anything else is equal."""
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and all(
            key in value and contains(value[key], part) for key, part in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return (
            isinstance(value, list)
            and len(value) == len(wanted)
            and all(contains(v, w) for v, w in zip(value, wanted, strict=True))
        )
    if isinstance(wanted, bool) or isinstance(value, bool):
        return value is wanted  # JSON's true is not the number 1
    return bool(value == wanted)


def parse(line: bytes) -> Record:
    """The record on ``line``; ValueError, with one clause that says why, if there is none."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(data, dict):
        raise ValueError("not an object")
    seq, kind = data.get("seq"), data.get("kind")
    if not isinstance(seq, int) or isinstance(seq, bool):
        raise ValueError('no "seq" number')
    if not isinstance(kind, str):
        raise ValueError('no "kind" string')
    return Record(seq, kind, data)


class Records:
    """Collects records out of a byte stream. What is wrong is a problem, never an exception."""

    def __init__(self) -> None:
        self.all: list[Record] = []
        self.problems: list[str] = []
        self.problem_count = 0
        self._partial = bytearray()
        self._skipping = False  # within a line that is too long
        self._next_seq = 0

    def feed(self, data: bytes) -> list[Record]:
        """Take in ``data``; the records that it completed, in order."""
        fresh: list[Record] = []
        *lines, rest = data.split(b"\n")
        for line in lines:
            whole = bytes(self._partial) + line
            self._partial.clear()
            if self._skipping:
                self._skipping = False
            elif len(whole) > LONGEST_LINE:
                self._too_long()
            elif whole.strip():
                self._take(whole, fresh)
        if not self._skipping:
            self._partial += rest
            if len(self._partial) > LONGEST_LINE:
                self._too_long()
                self._partial.clear()
                self._skipping = True
        return fresh

    def restart(self) -> None:
        """A new boot begins: its records count from 0, and what was cut off before it is over."""
        self._partial.clear()
        self._skipping = False
        self._next_seq = 0

    @property
    def unfinished(self) -> bytes:
        """The start of a line whose end has not come."""
        return bytes(self._partial)

    def _take(self, line: bytes, fresh: list[Record]) -> None:
        try:
            record = parse(line)
        except ValueError as error:
            start = line[:80].decode("ascii", "backslashreplace")
            self._problem(f"a line on the records port is {error}: {start!r}")
            return
        if record.seq != self._next_seq:
            self._problem(f"record {self._next_seq} was expected, record {record.seq} came")
        self._next_seq = record.seq + 1
        if len(self.all) >= MOST_RECORDS:
            self._problem(f"more than {MOST_RECORDS} records came; the rest is not kept")
            return
        self.all.append(record)
        fresh.append(record)

    def _too_long(self) -> None:
        self._problem(f"a line on the records port is longer than {LONGEST_LINE} bytes")

    def _problem(self, text: str) -> None:
        self.problem_count += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(text)


class RecordOrder:
    """Where the search for the next expected record begins.

    Guests run at once, so what is expected of one guest comes in order but has no order with what
    is expected of another; what names no guest comes after everything expected before it.
    """

    def __init__(self) -> None:
        self._all = 0  # index after the last record that was expected of no guest in particular
        self._guests: dict[object, int] = {}  # likewise, of each guest

    def start(self, guest: object) -> int:
        """The first index that counts for a record of ``guest`` (None: of none in particular)."""
        if guest is None:
            return max(self._all, *self._guests.values(), 0)
        return max(self._all, self._guests.get(guest, 0))

    def restart(self, index: int) -> None:
        """A new boot begins: nothing that is expected from now on lies before ``index``."""
        self._all = index
        self._guests.clear()

    def took(self, guest: object, index: int) -> None:
        """The record at ``index`` was the one that was expected."""
        if guest is None:
            self._all = index + 1
        else:
            self._guests[guest] = index + 1
