"""What people have when a VM entry failed, turned into something that rules can judge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.vmentry.capabilities import Capabilities
from harness.vmentry.fields import BY_NAME
from harness.vmentry.rule import Outcome

MOST_BYTES = 4 << 20
"""The longest input that is looked at."""

_REASON_FAILED = 1 << 31


class Unreadable(ValueError):
    """The input is not what it should be; one clause says why."""


@dataclass(frozen=True)
class Source:
    """One failed VM entry as somebody wrote it down.

    ``kind`` names the format; ``vmcs`` has the fields that it tells, ``reported`` how the processor
    answered, ``named`` the rules that it names by itself, each after the words that do.
    """

    kind: str
    vmcs: Mapping[str, int] = field(default_factory=dict)
    capabilities: Capabilities | None = None
    reported: Outcome | None = None
    named: tuple[tuple[str, tuple[str, ...]], ...] = ()
    notes: tuple[str, ...] = ()


def number(text: str, base: int = 0) -> int:
    """A number in a user's file; `Unreadable` if it is none or too long for any field."""
    try:
        value = int(text, base)
    except ValueError:
        raise Unreadable(f"{text[:40]!r} is not a number") from None
    if not 0 <= value < 1 << 64:
        raise Unreadable(f"{text[:40]!r} does not fit into 64 bits")
    return value


def checked(fields: Mapping[str, int]) -> dict[str, int]:
    """Fields by name with values that fit; `Unreadable` names one that does not."""
    for name, value in fields.items():
        if value & ~BY_NAME[name].mask:
            width = BY_NAME[name].width
            raise Unreadable(f"{name} has {width} bits, which {value:#x} does not fit into")
    return dict(fields)


def outcome(
    exit_reason: int | None, qualification: int | None, error: int | None
) -> Outcome | None:
    """What the processor reported; None if that is no failed entry."""
    if error:
        return Outcome(error=error)
    if exit_reason is not None and exit_reason & _REASON_FAILED:
        return Outcome(reason=exit_reason & 0xFFFF, qualification=qualification or 0)
    return None


def reported_in(text: str) -> Outcome | None:
    """How QEMU or Xen's console tell of a failed entry, if the text has one of their lines."""
    for pattern in (
        r"entry failed, hardware error (0x[0-9a-fA-F]{1,8})\b",  # QEMU
        r"VM(?:LAUNCH|RESUME) error: (0x[0-9a-fA-F]{1,8})\b",  # Xen
        r"(?:Failed vm entry|vmentry failure) \((?:exit )?reason (0x[0-9a-fA-F]{1,8})\)",  # Xen
        r"hardware_entry_failure_reason[ =:]+(0x[0-9a-fA-F]{1,8})\b",
    ):
        if found := re.search(pattern, text):
            value = int(found[1], 16)
            if value & _REASON_FAILED:
                return outcome(value, None, None)
            return outcome(None, None, value)
    return None
