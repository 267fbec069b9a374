"""How a machine of QEMU's ended: by what QMP tells of it, or by how QEMU itself ended."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness.engines.base import End, EndKind
from harness.engines.qemu_words import errors
from harness.engines.transport import Exit


def by_event(events: Iterable[Mapping[str, Any]], reset_kind: Callable[[], EndKind]) -> End | None:
    """The end that one of ``events`` tells of; QEMU then still holds the machine.

    A triple fault and a reset are the same event: ``reset_kind`` says which it was.
    """
    for event in events:
        if event["event"] == "GUEST_PANICKED":
            return End(EndKind.GUEST_PANIC, None, "GUEST_PANICKED")
        if event["event"] == "SHUTDOWN":
            reason = str(event.get("data", {}).get("reason"))
            if reason == "guest-reset":
                return End(reset_kind(), None, reason)
            if reason == "guest-shutdown":
                return End(EndKind.POWER_OFF, None, reason)
            if reason == "guest-panic":
                return End(EndKind.GUEST_PANIC, None, reason)
    return None


def by_exit(ended: Exit) -> End:
    """What the end of QEMU's process means, which nobody here brought about."""
    status, words = ended.status, list(ended.words)
    if status is None:
        return End(EndKind.DIED, None, "\n".join(words))
    # isa-debug-exit makes the status (code << 1) | 1; QEMU's own failures are 1 with an error.
    if status > 0 and status & 1 and not (status == 1 and errors(words)):
        return End(EndKind.POWER_OFF, status >> 1, f"exit status {status}")
    if status == 0:
        return End(EndKind.POWER_OFF, None, "exit status 0")
    if status < 0:
        words.insert(0, f"killed by {signal.Signals(-status).name}")
    return End(EndKind.DIED, None, "\n".join(words) or f"exit status {status}")
