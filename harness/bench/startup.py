"""What the harness costs over the bare emulators, as ratios within one run.

Machines differ and are noisy, so nothing here is a test: every number stands beside the bare QEMU
command of the same run, and the samples of both are taken in turn.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

from harness import choose, project, scenario
from harness.bench.bare import qemu
from harness.bench.figures import Figure, Say
from harness.verdict import RunEnded, Verdict

SAMPLES = 5
MORE_SCENARIOS = 10
_PATIENCE = 120.0  # seconds for any one command


def measure(say: Say) -> list[Figure]:
    """Medians; RunEnded where a command fails, ENGINE_MISSING where an emulator is missing."""
    for name in ("bochs", "qemu-tcg"):
        choose.choose((), (), name)  # raises where it is missing, before any time is spent
    with tempfile.TemporaryDirectory(prefix="vanderpool-bench-") as place:
        directory = Path(place)
        say("bare QEMU, and the same boot through pytest")
        bare, inside, first_test = _refusals(directory)
        say("hv --version")
        version = _median(lambda: timed([*_hv(), "--version"], directory))
        python = _median(lambda: timed([sys.executable, "-c", "pass"], directory))
        say("hv run hello --engine bochs")
        whole = _median(lambda: timed([*_hv(), "run", "hello", "--engine", "bochs"], directory))
        say(f"{MORE_SCENARIOS + 1} scenarios in one pytest session")
        each = each_more("bochs", directory)
        each_qemu = each_more("qemu-tcg", directory)

    def figure(name: str, seconds: float, aim: str = "") -> Figure:
        note = f"{seconds / bare:.2f} x bare QEMU's refusal" + (f"; aim {aim}" if aim else "")
        return Figure("startup", name, seconds, "s", note=note)

    return [
        figure("bare qemu-system-x86_64, boot to refusal and exit", bare),
        figure("the same as a test in a pytest session", inside, "1.5 x that"),
        figure("the same as the first test of a session", first_test),
        figure("hv run hello --engine bochs, all in all", whole, "1 s"),
        figure("each more scenario in a pytest session on Bochs", each, "0.3 s"),
        figure("each more scenario in a pytest session on qemu-tcg", each_qemu, "0.4 s"),
        figure("python -c pass", python),
        figure("hv --version, cold", version, "0.15 s"),
    ]


def _hv() -> list[str]:
    return [sys.executable, "-m", "harness"]


def _median(sample: Callable[[], float]) -> float:
    return statistics.median(sample() for _ in range(SAMPLES))


def timed(argv: list[str], directory: Path, allowed: tuple[int, ...] = (0,)) -> float:
    """Seconds that a command takes; RunEnded as `ran` raises it."""
    began = time.monotonic()
    ran(argv, directory, allowed)
    return time.monotonic() - began


def ran(
    argv: list[str], directory: Path, allowed: tuple[int, ...] = (0,)
) -> subprocess.CompletedProcess[bytes]:
    """A command that has ended; RunEnded FAILED, with what it said, where it fails."""
    env = {**os.environ, "VANDERPOOL_ROOT": str(project.root()), "PYTHONPATH": _python_path()}
    try:
        done = subprocess.run(
            argv,
            cwd=directory,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RunEnded(Verdict.FAILED, f"{argv[0]} did not end within {_PATIENCE:g} s") from None
    if done.returncode not in allowed:
        last = (done.stdout + done.stderr).decode(errors="replace").splitlines()[-20:]
        raise RunEnded(
            Verdict.FAILED, f"{argv[0]} ended with code {done.returncode}", evidence=tuple(last)
        )
    return done


def _python_path() -> str:
    """The package may be run from a checkout without being installed."""
    package = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))


def _refusals(directory: Path) -> tuple[float, float, float]:
    """Medians, taken in turn: the bare command, a test inside pytest, a session's first test.

    The first one also pays for Python's imports, which every later one finds done.
    """
    bare, first, inside = [], [], []
    guest = project.guest("hello")
    argv = [qemu(), "-machine", "q35,accel=tcg", "-bios", "qboot.rom", "-m", "128"]
    argv += ["-cpu", str(scenario.find("no-vmx").cpu)]
    argv += ["-nodefaults", "-no-user-config", "-display", "none"]
    argv += ["-serial", "null", "-serial", "null"]
    argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x4", "-kernel", str(project.image())]
    argv += ["-initrd", f"{guest} name=hello"]
    place = copies("no-vmx", directory / "refusals", SAMPLES)
    report = directory / "junit.xml"
    for _ in range(3):
        bare += [timed(argv, directory, allowed=(0, 2 << 1 | 1)) for _ in range(3)]
        timed([*pytest_command(), f"--junit-xml={report}", str(place)], directory)
        cases = [float(case.get("time", "nan")) for case in ET.parse(report).iter("testcase")]
        first.append(cases[0])
        inside += cases[1:]
    return statistics.median(bare), statistics.median(inside), statistics.median(first)


def copies(name: str, parent: Path, count: int) -> Path:
    """A directory with ``count`` scenarios like the project's scenario ``name``."""
    text = scenario.find(name).path.read_text(encoding="utf-8")
    place = parent / "scenarios"
    place.mkdir(parents=True)
    for number in range(count):
        (place / f"{name}-{number:02}.toml").write_text(text, encoding="utf-8")
    return place


def pytest_command() -> list[str]:
    """Pytest with the harness's plugin, as the start of a command."""
    plugins = [] if _installed() else ["-p", "harness.pytest_plugin"]
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugins]


def _installed() -> bool:
    from importlib.metadata import entry_points

    return any(one.value == "harness.pytest_plugin" for one in entry_points(group="pytest11"))


def each_more(engine: str, directory: Path) -> float:
    """How much each scenario beyond the first adds to a pytest session on ``engine`` (seconds)."""
    place = copies("hello", directory / f"hellos-{engine}", MORE_SCENARIOS + 1)
    one, all_of_them = [], []
    for _ in range(3):
        command = [*pytest_command(), "--engine", engine, "--require", engine]
        one.append(timed([*command, str(place / "hello-00.toml")], directory))
        all_of_them.append(timed([*command, str(place)], directory))
    return (statistics.median(all_of_them) - statistics.median(one)) / MORE_SCENARIOS
