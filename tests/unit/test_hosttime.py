"""What the host kept from a process is read as Linux tells it, here out of files made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.hosttime import HostTime

PID = 7


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    delayed(tmp_path, "7", 3.0)
    delayed(tmp_path, "8", 1.0)
    state(tmp_path, "S")
    return tmp_path


def delayed(proc: Path, thread: str, seconds: float) -> None:
    """As in sched-stats.rst: nanoseconds on a processor, nanoseconds waiting for one, slices."""
    place = proc / str(PID) / "task" / thread
    place.mkdir(parents=True, exist_ok=True)
    (place / "schedstat").write_text(f"5000 {int(seconds * 1e9)} 12\n")


def state(proc: Path, letter: str) -> None:
    (proc / str(PID) / "stat").write_text(f"{PID} (an (odd) name) {letter} 1 7 7 0\n")


def test_what_was_waited_before_it_was_watched_does_not_count(proc: Path) -> None:
    assert HostTime(PID, proc).waited == 0


def test_the_thread_that_waited_longest_counts(proc: Path) -> None:
    host = HostTime(PID, proc)
    delayed(proc, "7", 3.5)
    delayed(proc, "8", 3.0)
    assert host.waited == 2.0


def test_a_thread_that_came_later_counts_from_its_start(proc: Path) -> None:
    host = HostTime(PID, proc)
    delayed(proc, "9", 4.0)
    assert host.waited == 4.0


def test_a_limit_is_extended_by_what_was_waited_but_not_for_ever(proc: Path) -> None:
    host = HostTime(PID, proc)
    delayed(proc, "7", 5.0)
    assert host.allowance(1.0) == 2.0
    assert not host.starved(1.0)
    delayed(proc, "7", 103.0)
    assert host.allowance(1.0) == 9.0
    assert host.starved(1.0)


def test_a_process_is_stopped_whatever_its_name_is(proc: Path) -> None:
    host = HostTime(PID, proc)
    assert not host.is_stopped()
    state(proc, "T")
    assert host.is_stopped()


@pytest.mark.parametrize("content", ["", "nonsense", "1 x 2"])
def test_a_kernel_that_does_not_count_extends_nothing(proc: Path, content: str) -> None:
    host = HostTime(PID, proc)
    (proc / str(PID) / "task" / "7" / "schedstat").write_text(content)
    (proc / str(PID) / "stat").unlink()
    assert host.allowance(1.0) == 0
    assert not host.starved(1.0)
