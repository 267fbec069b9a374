"""What tests of the command line share: a checkout of their own, and `hv` as a process."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness import choose, project

PACKAGE = Path(__file__).resolve().parent.parent
PATIENCE = 60.0  # seconds; only a hang takes so long


def pytest_configure() -> None:
    """Give what tests start the usual signals, also under nohup and as a script's background job.

    Whether a signal is ignored passes on to every process that a test starts, and tests send it.
    One that has a handler here is the default there.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)  # still not the end of this session


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes that are no text name no test: gzip's have the time in them, and all workers of a
    session must find the same names.
    """
    return argname if isinstance(val, bytes) and not val.isascii() else None


@dataclass
class Hv:
    """Runs ``hv`` in a checkout; knows every process that comes of it by a mark it inherits."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: f"HV_TEST_MARK={uuid.uuid4()}")

    def env(self, **more: str) -> dict[str, str]:
        ours = {"VANDERPOOL_ROOT": str(self.root), "TERM": "xterm", "PYTHONPATH": str(PACKAGE)}
        mark = dict([self.mark.split("=")])
        unwanted = (
            "NO_COLOR",
            "FORCE_COLOR",
            "PYTEST_ADDOPTS",
            "QEMU",
            "BOCHS",
            "VANDERPOOL_COVERAGE",
        )
        kept = {key: value for key, value in os.environ.items() if key not in unwanted}
        return {**kept, **ours, **mark, **self.environment, **more}

    def __call__(self, *words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "harness", *words, **env)

    def python(self, *words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=self.root,
            env=self.env(**env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )

    def pytest(self, *words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        plugin = [] if installed() else ["-p", "harness.pytest_plugin"]
        return self.python("-m", "pytest", "-p", "no:cacheprovider", *plugin, *words, **env)

    def start(self, *words: str | Path, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*prefix, sys.executable, "-m", "harness", *map(str, words)],
            cwd=self.root,
            env=self.env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )

    def processes(self) -> list[int]:
        """Every living process that came of this object, however it came to be."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    environment = (entry / "environ").read_bytes()
                except OSError:
                    continue
                if self.mark.encode() in environment.split(b"\0"):
                    found.append(int(entry.name))
        return found

    def end_of(self, pids: list[int], seconds: float = 10.0) -> bool:
        """Whether all of ``pids`` end within ``seconds``."""
        poll, waiting = select.poll(), set()
        for pid in pids:
            try:
                descriptor = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            waiting.add(descriptor)
            poll.register(descriptor, select.POLLIN)
        while waiting:
            ended = poll.poll(seconds * 1000)
            if not ended:
                break
            for descriptor, _ in ended:
                poll.unregister(descriptor)
                waiting.discard(descriptor)
                os.close(descriptor)
        for descriptor in waiting:
            os.close(descriptor)
        return not waiting

    def scenario(self, name: str, text: str) -> Path:
        """A scenario file of this test's own, in a directory that pytest would collect."""
        path = self.root / "scenarios" / f"{name}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path


def installed() -> bool:
    from importlib.metadata import entry_points

    return any(one.value == "harness.pytest_plugin" for one in entry_points(group="pytest11"))


@pytest.fixture
def hv(tmp_path: Path) -> Iterator[Hv]:
    """``hv`` in a checkout of its own, with what `make` built; nothing of it may be left over."""
    root = tmp_path / "checkout"
    (root / "build").mkdir(parents=True)
    project.cache().mkdir(parents=True, exist_ok=True)
    for name in ("vanderpool.elf", "probe.elf", "guests", "cache"):
        (root / "build" / name).symlink_to(project.build() / name)
    (root / "tests").mkdir()
    (root / "tests" / "scenarios").symlink_to(project.scenarios())
    command = Hv(root)
    yield command
    assert not command.processes(), "a process outlived its harness"


def _needed(request: pytest.FixtureRequest, name: str) -> None:
    found = choose.engine(name).availability()
    if not found.usable:
        if name in request.config.getoption("--require"):
            pytest.fail(f"--require {name}: {found.reason}", pytrace=False)
        pytest.skip(found.reason)


@pytest.fixture
def bochs_here(request: pytest.FixtureRequest) -> None:
    """The test needs Bochs."""
    _needed(request, "bochs")


@pytest.fixture
def qemu_here(request: pytest.FixtureRequest) -> None:
    """The test needs QEMU."""
    _needed(request, "qemu-tcg")
