"""How long a boot takes on each engine, beside bare emulators that boot the same files.

All in seconds of this host, so each figure stands beside the bare QEMU of the same run.
"""

from __future__ import annotations

import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness.bench import bare
from harness.bench.figures import Figure, Say
from harness.bench.machines import PATIENCE, Where, guest, machine

SAMPLES = 5
BY_GRUB = 2  # samples: those take long, and differ little
_ENGINES = {
    Where("bochs", "bochs"): SAMPLES,
    Where("qemu-tcg", "qemu-tcg"): SAMPLES,
    Where("qemu-kvm", "qemu-kvm"): SAMPLES,
    Where("qemu-kvm-in-bochs", "qemu-kvm-in-bochs"): 1,  # after one that starts the appliance
}
_STEPS = ("first byte", "the guest's first word", "verdict")


def measure(say: Say) -> list[Figure]:
    """Medians of some boots each."""
    say("the bare emulators' boots")
    usual = _median(bare.qemu_by_qboot, SAMPLES)
    found = [_figure("bare QEMU with qboot, to the image's first word", usual, usual)]
    with tempfile.TemporaryDirectory(prefix="vanderpool-bench-") as place:
        found += _by_grub(Path(place), usual)
    for where, count in _ENGINES.items():
        if not where.usable:
            continue
        say(f"boots on {where.name}")
        _boot(where)  # once for nothing: files come into the cache, the appliance starts
        samples = [_boot(where) for _ in range(count)]
        for index, step in enumerate(_STEPS):
            seconds = statistics.median(sample[index] for sample in samples)
            found.append(_figure(f"{where.name}, start to {step}", seconds, usual))
    return found


def _figure(name: str, seconds: float, usual: float) -> Figure:
    note = f"{seconds / usual:.2f} x bare QEMU to the image's first word"
    return Figure("boots", name, seconds, "s", note=note)


def _median(sample: Callable[[], float], samples: int) -> float:
    return statistics.median(sample() for _ in range(samples))


def _by_grub(directory: Path, usual: float) -> list[Figure]:
    """The same files on a CD, by the emulators' BIOSes and GRUB."""
    emulators = {
        "bare QEMU with SeaBIOS and GRUB, to the image's first word": bare.qemu_by_grub,
        "bare Bochs with its BIOS and GRUB, to the image's first word": bare.bochs_by_grub,
    }
    try:
        cd = bare.grub_cd(directory)
    except bare.NotMeasured as reason:
        return [_missing(name, reason) for name in emulators]
    found = []
    for name, boot in emulators.items():
        try:
            found.append(_figure(name, _median(functools.partial(boot, cd), BY_GRUB), usual))
        except bare.NotMeasured as reason:
            found.append(_missing(name, reason))
    return found


def _missing(name: str, reason: bare.NotMeasured) -> Figure:
    return Figure("boots", name, None, "s", note=str(reason))


def _boot(where: Where) -> tuple[float, float, float]:
    """Seconds from the engine's start to the first byte, a guest's first word, the machine's end.

    A guest's first instruction is executed between its start and its first word.
    """
    began = time.monotonic()
    with machine(where, [guest("hello", "hello")]) as running:
        running.expect(r"(?s).", PATIENCE)
        first = time.monotonic()
        running.expect(r"Hello from a guest", PATIENCE)
        spoke = time.monotonic()
        running.expect_record("done", timeout=PATIENCE)
        running.wait(PATIENCE)
        return first - began, spoke - began, time.monotonic() - began
