"""The same boot as a test by other means: a plain pytest and pexpect script, and pytest-embedded.

They are installed for this alone, at fixed versions, into build/bench/venv. Each is measured by how
much a further test adds to a session; the machine is the same QEMU with the same image, though the
harness's has QMP, a file for its memory and a log besides.
"""

from __future__ import annotations

import shlex
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness import project
from harness.bench.bare import qemu
from harness.bench.figures import Figure, Say
from harness.bench.startup import each_more, timed
from harness.verdict import RunEnded

PACKAGES = (
    "pytest==9.2.0", "pexpect==4.9.0", "pytest-embedded==2.9.3", "pytest-embedded-qemu==2.9.3",
)  # fmt: skip
MORE = 10  # tests
_LAST_WORDS = "hv: guests: 1"

_PEXPECT = """\
import pexpect
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_hello(number):
    child = pexpect.spawn({program!r}, {arguments!r}, timeout=60)
    child.expect_exact("Hello from a guest")
    child.expect_exact({words!r})
    child.expect(pexpect.EOF)
    child.close()
"""
_EMBEDDED = """\
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_hello(number, dut):
    dut.expect_exact("Hello from a guest")
    dut.expect_exact({words!r})
"""
# pytest-embedded hands its image over as flash memory, in the last two arguments: a PC has none.
_SHIM = """\
#!{python}
import os, sys
os.execv({program!r}, [{program!r}, *sys.argv[1:-2]])
"""


def measure(say: Say) -> list[Figure]:
    """Seconds a further test, beside the harness's own on the same engine."""
    with tempfile.TemporaryDirectory(prefix="vanderpool-bench-") as place:
        directory = Path(place)
        say("a further test by hv")
        ours = each_more("qemu-tcg", directory)
        figures = [_figure("by hv", ours, ours)]
        say("installing pytest-embedded, for this alone")
        try:
            python = _python(directory)
        except RunEnded as reason:
            why = f"can't be installed: {reason.evidence[-1] if reason.evidence else reason}"
            return [*figures, Figure("rivals", "a further test by others", None, "s", note=why)]
        say("a further test by pytest and pexpect")
        program, *arguments = _qemu()
        script = _PEXPECT.format(
            count="{count}", program=program, arguments=arguments, words=_LAST_WORDS
        )
        figures.append(
            _try("by pytest and pexpect", ours, lambda: _more(python, script, [], directory))
        )
        say("a further test by pytest-embedded")
        options = _embedded_options(directory)
        script = _EMBEDDED.format(count="{count}", words=_LAST_WORDS)
        figures.append(
            _try("by pytest-embedded", ours, lambda: _more(python, script, options, directory))
        )
    return figures


def _figure(name: str, seconds: float, ours: float) -> Figure:
    note = f"{seconds / ours:.2f} x hv"
    return Figure("rivals", f"a further test {name}", seconds, "s", note=note)


def _try(name: str, ours: float, measured: Callable[[], float]) -> Figure:
    try:
        return _figure(name, measured(), ours)
    except RunEnded as reason:
        last = next((line for line in reversed(reason.evidence) if line.strip()), str(reason))
        return Figure("rivals", f"a further test {name}", None, "s", note=last)


def _qemu() -> list[str]:
    """The command: the boot of the scenario `hello`, its console on stdout."""
    return [
        qemu(), "-machine", "q35,accel=tcg", "-bios", "qboot.rom", "-m", "128", "-cpu", "max",
        "-nodefaults", "-no-user-config", "-serial", "stdio", "-serial", "null",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=0x4",
        "-kernel", str(project.image()), "-initrd", f"{project.guest('hello')} name=hello",
        "-display", "none",  # last: pytest-embedded takes a quote off the end of a command
    ]  # fmt: skip


def _python(directory: Path) -> str:
    """The interpreter of the environment with `PACKAGES`, which is made if need be."""
    place = project.build() / "bench" / "venv"
    python = place / "bin" / "python"
    stamp = place / "packages"
    if not stamp.exists() or stamp.read_text() != "\n".join(PACKAGES):
        timed([sys.executable, "-m", "venv", "--clear", str(place)], directory)
        timed([str(python), "-m", "pip", "install", "-q", *PACKAGES], directory)
        stamp.write_text("\n".join(PACKAGES))
    return str(python)


def _embedded_options(directory: Path) -> list[str]:
    """For pytest-embedded's qemu service."""
    program, *arguments = _qemu()
    shim = directory / "qemu"
    shim.write_text(_SHIM.format(python=sys.executable, program=program))
    shim.chmod(0o755)
    return [
        "--embedded-services", "qemu", "--qemu-prog-path", str(shim),
        f"--qemu-cli-args={shlex.join(arguments)}", "--qemu-image-path", str(project.image()),
    ]  # fmt: skip


def _more(python: str, script: str, options: list[str], directory: Path) -> float:
    """How much each test beyond the first adds to a session (seconds)."""
    seconds: dict[int, list[float]] = {1: [], MORE + 1: []}
    for count in seconds:
        file = directory / f"test_{count}.py"
        file.write_text(script.replace("{count}", str(count)))
    alone = directory / "pytest.ini"  # the project's own settings are not for these
    alone.write_text("[pytest]\n")
    for _ in range(3):
        for count, samples in seconds.items():
            file = directory / f"test_{count}.py"
            command = [
                python,
                "-m",
                "pytest",
                "-q",
                "-c",
                str(alone),
                "-p",
                "no:cacheprovider",
                *options,
                str(file),
            ]
            samples.append(timed(command, directory))
    few, many = (statistics.median(samples) for samples in seconds.values())
    return (many - few) / MORE
