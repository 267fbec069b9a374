"""No emulator outlives the harness, however the harness ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.engines.base import Engine

Kernel = Callable[[str], Path]

ROOT = Path(__file__).resolve().parent.parent.parent

HARNESS = """
import sys
from pathlib import Path
from harness import choose
from harness.engines.base import Boot
from harness.machine import Machine
from harness.verdict import RunEnded

engine, image, directory, limit = sys.argv[1:]
boot = Boot(Path(image))
try:
    with Machine.start(
        choose.engine(engine), boot, Path(directory), limit=float(limit)
    ) as machine:
        machine.expect("spinning", timeout=30)
        print(machine.running.process.pid, flush=True)
        sys.stdin.readline()
        machine.wait(timeout=1000)
except RunEnded as ended:
    print(ended.verdict.word, flush=True)
"""


class Session:
    """A harness in a process of its own, and a handle on the emulator that it started."""

    def __init__(self, engine: str, image: Path, directory: Path, limit: float = 60) -> None:
        self.harness = subprocess.Popen(
            [sys.executable, "-c", HARNESS, engine, str(image), str(directory), str(limit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,  # as a terminal's foreground job
        )
        assert self.harness.stdout is not None
        self.emulator = os.pidfd_open(int(self.harness.stdout.readline()))
        assert self.harness.stdin is not None
        self.harness.stdin.write(b"\n")
        self.harness.stdin.flush()

    def emulator_ends(self, within: float = 20) -> bool:
        """Whether the emulator ends within so many seconds."""
        return bool(select.select([self.emulator], [], [], within)[0])

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.emulator_ends(0):
            signal.pidfd_send_signal(self.emulator, signal.SIGKILL)
        os.close(self.emulator)
        self.harness.kill()
        self.harness.communicate()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_no_emulator_survives_a_signal_to_the_harness(
    any_engine: Engine, kernel: Kernel, tmp_path: Path, number: signal.Signals
) -> None:
    with Session(any_engine.name, kernel("spin"), tmp_path / "m") as session:
        assert not session.emulator_ends(0)
        session.harness.send_signal(number)
        assert session.emulator_ends()


def test_no_emulator_survives_ctrl_c(any_engine: Engine, kernel: Kernel, tmp_path: Path) -> None:
    with Session(any_engine.name, kernel("spin"), tmp_path / "m") as session:
        os.killpg(session.harness.pid, signal.SIGINT)  # what a terminal does
        assert session.emulator_ends()
        assert session.harness.wait(20) == -signal.SIGINT


def test_no_emulator_survives_the_time_limit(
    any_engine: Engine, kernel: Kernel, tmp_path: Path
) -> None:
    with Session(any_engine.name, kernel("spin"), tmp_path / "m", limit=2) as session:
        assert session.emulator_ends()
        assert session.harness.stdout is not None
        assert session.harness.stdout.read() == b"spinning\n"


def test_no_emulator_survives_a_stopped_debugger(kernel: Kernel, tmp_path: Path) -> None:
    """Bochs is waiting for a command, QEMU is stopped: neither runs, both must still go."""
    for engine in ("bochs", "qemu-tcg"):
        with Session(engine, kernel("spin"), tmp_path / engine) as session:
            signal.pidfd_send_signal(session.emulator, signal.SIGSTOP)
            session.harness.kill()
            assert session.emulator_ends()
