"""Our own `crash` record: a line of records.jsonl, or the whole file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from harness.vmentry.capabilities import Capabilities, from_machine
from harness.vmentry.fields import BY_ENCODING
from harness.vmentry.source import Source, Unreadable, checked, number, outcome


def records(text: str) -> Iterator[Mapping[str, Any]]:
    """The JSON objects of a text: a line each, or the whole text as one."""
    whole = _object(text)
    if whole is not None:
        yield whole
        return
    for line in text.splitlines():
        if line.startswith("{") and (found := _object(line)) is not None:
            yield found


def _object(text: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def find(text: str) -> Mapping[str, Any] | None:
    """The last crash record, one with a VMCS if there is such a one."""
    crashes = [record for record in records(text) if record.get("kind") == "crash"]
    with_fields = [record for record in crashes if "fields" in record]
    found = with_fields or crashes
    return found[-1] if found else None


def read(record: Mapping[str, Any]) -> Source:
    """A failed entry out of a crash record; `Unreadable` says what is wrong with it."""
    if "fields" not in record:
        reason = str(record.get("reason", "no reason given"))[:200]
        raise Unreadable(f"the crash record is of no failed VM entry: {reason}")
    return Source(
        "a crash record",
        _fields(record["fields"]),
        capabilities=replace(capabilities(record), current_vmcs=_optional(record, "region")),
        reported=outcome(
            _optional(record, "exit_reason"),
            _optional(record, "qualification"),
            _optional(record, "instruction_error"),
        ),
    )


def capabilities(record: Mapping[str, Any]) -> Capabilities:
    """The processor that a record describes in "msrs" and "cpuid" (hv/vmx/dump.c)."""
    msrs = {_number(msr): _number(value) for msr, value in _members(record, "msrs")}
    leaves = {}
    for name, registers in _members(record, "cpuid"):
        leaf, _, subleaf = str(name).partition(".")
        if subleaf == "0" and isinstance(registers, dict):
            eax, ebx, ecx, edx = (_number(registers.get(r)) for r in ("eax", "ebx", "ecx", "edx"))
            leaves[_number(leaf)] = (eax, ebx, ecx, edx)
    return replace(from_machine(msrs, leaves), long_mode=True)  # as the hypervisor is


def _fields(members: Any) -> dict[str, int]:
    if not isinstance(members, dict):
        raise Unreadable('the member "fields" of the record is no object')
    fields = {}
    for name, value in members.items():
        encoding = _number(name)
        if encoding in BY_ENCODING:  # others exist on processors newer than the table
            fields[BY_ENCODING[encoding].name] = _number(value)
    return checked(fields)


def _members(record: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    members = record.get(key, {})
    if not isinstance(members, dict):
        raise Unreadable(f'the member "{key}" of the record is no object')
    return list(members.items())


def _optional(record: Mapping[str, Any], key: str) -> int | None:
    return _number(record[key]) if key in record else None


def _number(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64:
        return value
    if isinstance(value, str):
        return number(value)
    raise Unreadable(f"{str(value)[:40]!r} is not a number")
