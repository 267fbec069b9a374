"""Many machines at once: the same scenarios by one to four workers of a pytest session."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path

from harness.bench.figures import Figure, Say
from harness.bench.startup import copies, pytest_command, timed

SUITE = 48  # scenarios
WORKERS = (1, 2, 3, 4)
_ROUNDS = 2


def measure(say: Say) -> list[Figure]:
    """How many scenarios a second end, on Bochs; the best of some rounds, which go in turn."""
    if find_spec("xdist") is None:
        return [Figure("workers", "scenarios", None, "a second", note="needs pytest-xdist")]
    say("a suite by the number of its workers")
    seconds: dict[int, list[float]] = {count: [] for count in WORKERS}
    with tempfile.TemporaryDirectory(prefix="vanderpool-bench-") as place:
        directory = Path(place)
        suite = copies("hello", directory / "suite", SUITE)
        for _ in range(_ROUNDS):
            for count, samples in seconds.items():
                command = [*pytest_command(), "--engine", "bochs", "--require", "bochs"]
                samples.append(timed([*command, str(suite), "-n", str(count)], directory))
    best = {count: min(samples) for count, samples in seconds.items()}
    return [
        Figure(
            "workers",
            f"{count} worker{'s' * (count > 1)}: scenarios",
            SUITE / best[count],
            "a second",
            note=f"{best[1] / best[count]:.2f} x one worker; {best[count]:.3g} s for {SUITE}",
        )
        for count in WORKERS
    ]
