"""Child processes are started so that they can't be lost, and ended without sleeping."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from harness import supervise


def test_a_child_has_its_own_session_and_directory(tmp_path: Path) -> None:
    child = supervise.spawn(["pwd"], tmp_path, stdout=subprocess.PIPE)
    output, _ = child.communicate()
    assert output.decode().strip() == str(tmp_path)
    sleeper = supervise.spawn(["sleep", "1000"], tmp_path)
    assert os.getsid(sleeper.pid) == sleeper.pid
    assert supervise.end(sleeper) == -signal.SIGKILL


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from harness import supervise\n"
        "child = supervise.spawn(['sleep', '1000'], pathlib.Path('.'))\n"
        "print(child.pid, flush=True); sys.stdin.readline()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(supervise.__file__).parent.parent)},
    )  # fmt: skip
    assert parent.stdout is not None
    child = os.pidfd_open(int(parent.stdout.readline()))
    try:
        assert supervise.readable((child,), 0) == ()
        parent.kill()
        parent.communicate()
        assert supervise.readable((child,), 20) == (child,)
    finally:
        os.close(child)


def test_waiting_reports_whether_the_child_has_ended(tmp_path: Path) -> None:
    child = supervise.spawn(["cat"], tmp_path, stdin=subprocess.PIPE)
    assert not supervise.wait(child, 0.01)
    assert child.stdin is not None
    child.stdin.close()
    assert supervise.wait(child, 20)
    assert supervise.wait(child, 0)


def test_a_child_that_ignores_the_soft_way_is_killed(tmp_path: Path) -> None:
    child = supervise.spawn(
        ["sh", "-c", "trap '' TERM; echo ready; while :; do read line || exec sleep 1000; done"],
        tmp_path,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
    assert supervise.end(child, soft=child.terminate, grace=0.05) == -signal.SIGKILL
    child.stdout.close()


def test_a_child_that_takes_the_soft_way_is_not_killed(tmp_path: Path) -> None:
    child = supervise.spawn(["sleep", "1000"], tmp_path)
    assert supervise.end(child, soft=child.terminate, grace=20) == -signal.SIGTERM
    assert supervise.end(child) == -signal.SIGTERM


def test_files_that_a_child_writes_can_be_bounded(tmp_path: Path) -> None:
    child = supervise.spawn(
        ["dd", "if=/dev/zero", "of=big", "bs=4096", "count=100"], tmp_path, largest_file=8192
    )
    assert supervise.wait(child, 20)
    assert child.returncode != 0
    assert (tmp_path / "big").stat().st_size <= 8192
