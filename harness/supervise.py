"""Child processes that can't outlive the harness, and waits for them that never sleep."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def spawn(
    argv: Sequence[str],
    directory: Path,
    *,
    stdin: int | IO[Any] | None = subprocess.DEVNULL,
    stdout: int | IO[Any] | None = subprocess.DEVNULL,
    stderr: int | IO[Any] | None = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
    largest_file: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``argv`` in ``directory``; the kernel kills it when the calling thread ends.

    Call it from a thread that lives as long as the harness: the death signal follows the thread.
    The child has a session of its own, so a Ctrl-C in the terminal reaches the harness alone,
    which then ends the child in its own way. ``largest_file`` (bytes) bounds every file that the
    child writes. Raises OSError if the program can't be started.
    """
    parent = os.getpid()
    limit = largest_file or 0
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    if hard != resource.RLIM_INFINITY:  # a shell's `ulimit -f`, which can't be raised again
        limit = min(limit, hard)
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the harness died before the line above could count
            os._exit(1)
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    with warnings.catch_warnings():
        # Newer Pythons warn of a fork beside threads; `in_child` takes no lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        return subprocess.Popen(
            list(argv),
            cwd=directory,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            bufsize=0,
            pass_fds=tuple(pass_fds),
            env=None if environment is None else dict(environment),
            start_new_session=True,
            preexec_fn=in_child,
        )


def die_with_parent() -> None:
    """Have the kernel kill this process, a fork of the harness, when the harness ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def wait(process: subprocess.Popen[Any], timeout: float) -> bool:
    """Wait up to ``timeout`` seconds for the end of ``process``; whether it ended and is reaped."""
    if process.poll() is not None:
        return True
    with ProcessEnd(process) as ended:
        if not readable((ended.fileno(),), timeout):
            return False
    process.wait()
    return True


def end(
    process: subprocess.Popen[Any], *, soft: Callable[[], object] | None = None, grace: float = 0.5
) -> int:
    """End ``process`` and reap it: first ``soft``, then after ``grace`` seconds SIGKILL.

    Returns its exit status. Never raises because the process is gone already.
    """
    if process.poll() is None and soft is not None:
        with contextlib.suppress(OSError):
            soft()
        wait(process, grace)
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


class ProcessEnd:
    """A file descriptor that becomes readable when a process ends (pidfd_open(2))."""

    def __init__(self, process: subprocess.Popen[Any]) -> None:
        self._fd = os.pidfd_open(process.pid)

    def fileno(self) -> int:
        """The descriptor, for select and its relatives."""
        return self._fd

    def close(self) -> None:
        """Release the descriptor. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> ProcessEnd:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def readable(fds: Sequence[int], timeout: float) -> tuple[int, ...]:
    """Those of ``fds`` that can be read (or are at their end) within ``timeout`` seconds."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return tuple(fd for fd, _ in poll.poll(max(0.0, timeout) * 1000))
