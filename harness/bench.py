"""``hv bench``: what the harness costs over the bare emulators, as ratios within one run.

Machines differ and are noisy, so nothing here is a test: every number stands beside the bare QEMU
command of the same run, and the samples of both are taken in turn.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import choose, project, rundir, scenario
from harness.engines.base import Boot, Module
from harness.verdict import RunEnded, Verdict

SAMPLES = 5
MORE_SCENARIOS = 10
_PATIENCE = 120.0  # seconds for any one command


@dataclass(frozen=True)
class Number:
    """One measurement: the median of its samples, beside a budget."""

    what: str
    seconds: float
    ratio: float  # to the bare QEMU command of this run
    budget: str = ""  # as people read it; "" where there is none
    within: bool | None = None


def main(*, as_json: bool) -> int:
    """Measure everything, print it, and return the exit code: 0, whatever the numbers are.

    Raises RunEnded where a number can't be taken: ENGINE_MISSING, or the failure of a run.
    """
    from harness.report.screen import Screen

    screen = Screen(sys.stdout)
    numbers = measure(lambda word: None if as_json else print(f"measuring: {word}", flush=True))
    if as_json:
        import json

        screen.line(json.dumps([vars(number) for number in numbers], indent=2))
        return 0
    screen.line()
    rows = [("what", "seconds", "x bare QEMU", "budget")]
    for number in numbers:
        mark = {None: "", True: "within ", False: "OVER "}[number.within]
        seconds, ratio = f"{number.seconds:.3f}", f"{number.ratio:.2f}"
        rows.append((number.what, seconds, ratio, mark + number.budget))
    screen.table(rows)
    return 0


def measure(say: Callable[[str], None]) -> list[Number]:
    """Take all numbers; ``say`` hears what is being measured."""
    for name in ("bochs", "qemu-tcg"):
        choose.choose((), (), name)  # raises where it is missing, before any time is spent
    with tempfile.TemporaryDirectory(prefix="vanderpool-bench-") as place:
        directory = Path(place)
        say("bare QEMU, and the same boot through pytest")
        bare, inside, first_test = _refusals(directory)
        say("Bochs to its first serial byte")
        first = _median(lambda: _first_byte(directory))
        say("hv run hello --engine bochs")
        whole = _median(lambda: _hello(directory))
        say(f"{MORE_SCENARIOS + 1} scenarios in one pytest session")
        each = _each_more("bochs", directory)
        each_qemu = _each_more("qemu-tcg", directory)
    return [
        Number("bare qemu-system-x86_64, boot to refusal and exit", bare, 1.0),
        Number(
            "the same as a test in a pytest session",
            inside,
            inside / bare,
            "1.5 x bare QEMU",
            inside <= 1.5 * bare,
        ),
        Number("the same as the first test of a session", first_test, first_test / bare),
        Number("Bochs, start to first serial byte", first, first / bare, "0.15 s", first <= 0.15),
        Number("hv run hello --engine bochs, all in all", whole, whole / bare, "1 s", whole <= 1),
        Number(
            "each more scenario in a pytest session on Bochs",
            each,
            each / bare,
            "0.3 s",
            each <= 0.3,
        ),
        Number(
            "each more scenario in a pytest session on qemu-tcg",
            each_qemu,
            each_qemu / bare,
            "0.4 s",
            each_qemu <= 0.4,
        ),
    ]


def _median(sample: Callable[[], float]) -> float:
    return statistics.median(sample() for _ in range(SAMPLES))


def _timed(argv: list[str], directory: Path, allowed: tuple[int, ...] = (0,)) -> float:
    began = time.monotonic()
    done = subprocess.run(
        argv,
        cwd=directory,
        env={**os.environ, "VANDERPOOL_ROOT": str(project.root()), "PYTHONPATH": _python_path()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_PATIENCE,
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode not in allowed:
        last = (done.stdout + done.stderr).decode(errors="replace").splitlines()[-20:]
        raise RunEnded(
            Verdict.FAILED, f"{argv[0]} ended with code {done.returncode}", evidence=tuple(last)
        )
    return seconds


def _python_path() -> str:
    """The package may be run from a checkout without being installed."""
    package = str(Path(__file__).resolve().parent.parent)
    return os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))


def _refusals(directory: Path) -> tuple[float, float, float]:
    """Medians, taken in turn: the bare command, a test inside pytest, a session's first test.

    The first one also pays for Python's imports, which every later one finds done.
    """
    bare, first, inside = [], [], []
    guest = project.guest("hello")
    qemu = shutil.which("qemu-system-x86_64") or "qemu-system-x86_64"
    argv = [qemu, "-machine", "q35,accel=tcg", "-bios", "qboot.rom", "-m", "128"]
    argv += ["-cpu", str(scenario.find("no-vmx").cpu)]
    argv += ["-nodefaults", "-no-user-config", "-display", "none"]
    argv += ["-serial", "null", "-serial", "null"]
    argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x4", "-kernel", str(project.image())]
    argv += ["-initrd", f"{guest} name=hello"]
    place = _copies("no-vmx", directory / "refusals", SAMPLES)
    report = directory / "junit.xml"
    for _ in range(3):
        bare += [_timed(argv, directory, allowed=(0, 2 << 1 | 1)) for _ in range(3)]
        _timed([*_pytest(), f"--junit-xml={report}", str(place)], directory)
        cases = [float(case.get("time", "nan")) for case in ET.parse(report).iter("testcase")]
        first.append(cases[0])
        inside += cases[1:]
    return statistics.median(bare), statistics.median(inside), statistics.median(first)


def _copies(name: str, parent: Path, count: int) -> Path:
    """A directory with ``count`` scenarios like the project's scenario ``name``."""
    text = scenario.find(name).path.read_text(encoding="utf-8")
    place = parent / "scenarios"
    place.mkdir(parents=True)
    for number in range(count):
        (place / f"{name}-{number:02}.toml").write_text(text, encoding="utf-8")
    return place


def _pytest() -> list[str]:
    plugins = [] if _installed() else ["-p", "harness.pytest_plugin"]
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugins]


def _installed() -> bool:
    from importlib.metadata import entry_points

    return any(one.value == "harness.pytest_plugin" for one in entry_points(group="pytest11"))


def _first_byte(directory: Path) -> float:
    from harness.machine import Machine

    guest = project.guest("hello")
    boot = Boot(project.image(), modules=(Module(guest, f"{guest.name} name=hello"),))
    place = rundir.create("bench", Path(tempfile.mkdtemp(dir=directory)) / "run")
    seen: list[float] = []

    def note(_: bytes) -> None:
        seen.append(time.monotonic())

    began = time.monotonic()
    with Machine.start(choose.engine("bochs"), boot, place, on_console=note, limit=10) as machine:
        machine.expect(r"(?s).")
    return seen[0] - began


def _hello(directory: Path) -> float:
    argv = [sys.executable, "-m", "harness", "run", "hello", "--engine", "bochs"]
    return _timed(argv, directory)


def _each_more(engine: str, directory: Path) -> float:
    """How much each scenario beyond the first adds to a pytest session on ``engine`` (seconds)."""
    place = _copies("hello", directory / f"hellos-{engine}", MORE_SCENARIOS + 1)
    one, all_of_them = [], []
    for _ in range(3):
        command = [*_pytest(), "--engine", engine]
        one.append(_timed([*command, str(place / "hello-00.toml")], directory))
        all_of_them.append(_timed([*command, str(place)], directory))
    return (statistics.median(all_of_them) - statistics.median(one)) / MORE_SCENARIOS
