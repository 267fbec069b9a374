"""How long a boot takes on each engine, beside bare emulators that boot the same files.

All in seconds of this host, so the samples are taken in turn, and each figure stands beside the
bare QEMU of the same run.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness import choose, project, supervise
from harness.bench.figures import Figure, Say
from harness.bench.machines import Where, guest, machine

SAMPLES = 5
_ENGINES = (Where("bochs", "bochs"), Where("qemu-tcg", "qemu-tcg"))
_FIRST_WORDS = b"hv: Vanderpool"
_BARE_LIMIT = 60.0  # seconds

_GRUB = """\
set timeout=0
menuentry vanderpool {
  multiboot /vanderpool.elf
  module /hello.bin hello.bin name=hello
}
"""


def measure(say: Say) -> list[Figure]:
    """Medians of some boots each."""
    found: list[Figure] = []
    say("the bare emulators' boots")
    bare = _median(lambda: _bare_qemu())
    found.append(_figure("bare QEMU with qboot, to the image's first word", bare, bare))
    with tempfile.TemporaryDirectory(prefix="vanderpool-bench-") as place:
        found += _by_grub(Path(place), bare)
    for where in _ENGINES:
        if not choose.engine(where.engine).availability().usable:
            continue
        say(f"boots on {where.name}")
        samples = [_boot(where) for _ in range(SAMPLES)]
        steps = ("first byte", "guest starts", "verdict")
        for index, step in enumerate(steps):
            seconds = statistics.median(sample[index] for sample in samples)
            found.append(_figure(f"{where.name}, process start to {step}", seconds, bare))
    return found


def _figure(name: str, seconds: float | None, bare: float, reason: str = "") -> Figure:
    note = reason if seconds is None else f"{seconds / bare:.2f} x bare QEMU"
    return Figure("boots", name, seconds, "s", note=note)


def _median(sample: Callable[[], float]) -> float:
    return statistics.median(sample() for _ in range(SAMPLES))


def _boot(where: Where) -> tuple[float, float, float]:
    """Seconds from the engine's start to the first byte, a guest's start, the machine's end."""
    began = time.monotonic()
    with machine(where, [guest("hello", "hello")]) as running:
        running.expect(r"(?s).")
        first = time.monotonic()
        running.expect_record("vm-start")
        started = time.monotonic()
        running.expect_record("done")
        running.wait()
        return first - began, started - began, time.monotonic() - began


def _bare_qemu(*more: str) -> float:
    """Seconds from QEMU's start to the hypervisor's first words; raises RunEnded as engines do."""
    choose.choose((), (), "qemu-tcg")
    qemu = shutil.which("qemu-system-x86_64") or "qemu-system-x86_64"
    hello = project.guest("hello")
    boot = ("-bios", "qboot.rom", "-kernel", str(project.image()), "-initrd", f"{hello} name=hello")
    argv = (
        qemu, "-machine", "q35,accel=tcg", "-cpu", "max", "-m", "128", "-nodefaults",
        "-no-user-config", "-display", "none", "-serial", "stdio", "-serial", "null",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=0x4", *(more or boot),
    )  # fmt: skip
    return _to_first_words(argv)


def _to_first_words(argv: tuple[str, ...], directory: Path | None = None) -> float:
    import subprocess

    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vanderpool-bench-") as place:
        process = supervise.spawn(
            argv, directory or Path(place),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            seen = b""
            while _FIRST_WORDS not in seen:
                left = began + _BARE_LIMIT - time.monotonic()
                if left <= 0 or not supervise.readable((process.stdout.fileno(),), left):
                    raise TimeoutError(f"{argv[0]} said nothing within {_BARE_LIMIT:g} s")
                data = os.read(process.stdout.fileno(), 1 << 16)
                if not data:
                    raise TimeoutError(f"{argv[0]} ended before the image said anything")
                seen += data
            return time.monotonic() - began
        finally:
            supervise.end(process)
            process.stdout.close()


def _by_grub(directory: Path, bare: float) -> list[Figure]:
    """The same files on a CD, by SeaBIOS and GRUB."""
    import subprocess

    name = "bare QEMU with SeaBIOS and GRUB, to the image's first word"
    if shutil.which("grub-mkrescue") is None or shutil.which("xorriso") is None:
        reason = "needs grub-mkrescue: apt install grub-common grub-pc-bin xorriso mtools"
        return [_figure(name, None, bare, reason)]
    tree = directory / "cd"
    (tree / "boot" / "grub").mkdir(parents=True)
    (tree / "boot" / "grub" / "grub.cfg").write_text(_GRUB)
    shutil.copy(project.image(), tree / "vanderpool.elf")
    shutil.copy(project.guest("hello"), tree / "hello.bin")
    cd = directory / "vanderpool.iso"
    made = subprocess.run(
        ["grub-mkrescue", "-o", str(cd), str(tree)], capture_output=True, check=False, timeout=120
    )
    if made.returncode:
        last = made.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return [_figure(name, None, bare, f"grub-mkrescue: {' '.join(last)}")]
    try:
        return [_figure(name, _bare_qemu("-cdrom", str(cd)), bare)]
    except TimeoutError as error:
        return [_figure(name, None, bare, str(error))]
