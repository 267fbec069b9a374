"""What the harness takes of the host while it waits for a machine, and how much memory.

A process of its own does it, which has measured nothing before.
"""

from __future__ import annotations

import resource
import sys
import time

from harness import project
from harness.bench.figures import Figure, Say
from harness.bench.machines import Where, guest, machine
from harness.bench.startup import ran

_SECONDS = 3.0
_WHERE = Where("bochs", "bochs")
_MOST = 5  # % of a core


def measure(say: Say) -> list[Figure]:
    """While a guest runs for ever, nothing comes from the machine: that wait is measured."""
    say("the harness while it waits")
    done = ran([sys.executable, "-m", "harness.bench.idle"], project.root())
    share, memory = map(float, done.stdout.split())
    return [
        Figure("idle", "processor while it waits", share, "%", note=f"aim {_MOST}"),
        Figure("idle", "memory at most, of the harness alone", memory, "MiB"),
    ]


def main() -> None:
    """Print the share of a processor (%) and the memory (MiB)."""
    with machine(_WHERE, [guest("spin", "spin")]) as running:
        running.expect_record("vm-start")
        began, used = time.monotonic(), time.process_time()
        deadline = began + _SECONDS
        while time.monotonic() < deadline:
            running.pump(deadline)
        share = (time.process_time() - used) / (time.monotonic() - began) * 100
    print(share, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
