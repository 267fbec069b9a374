"""What the harness takes of the host while it waits for a machine, and how much memory."""

from __future__ import annotations

import resource
import time

from harness.bench.figures import Figure, Say
from harness.bench.machines import Where, guest, machine

_SECONDS = 3.0
_WHERE = Where("bochs", "bochs")
_MOST = 5  # % of a core


def measure(say: Say) -> list[Figure]:
    """While a guest runs for ever, nothing comes from the machine: that wait is measured."""
    say("the harness while it waits")
    with machine(_WHERE, [guest("spin", "spin")]) as running:
        running.expect_record("vm-start")
        began, used = time.monotonic(), time.process_time()
        deadline = began + _SECONDS
        while time.monotonic() < deadline:
            running.pump(deadline)
        share = (time.process_time() - used) / (time.monotonic() - began) * 100
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        Figure("idle", "processor while it waits", share, "%", note=f"aim {_MOST}"),
        Figure("idle", "memory at most", memory, "MiB"),
    ]
