"""One appliance for everybody: a private directory with a socket, and a server when it is wanted.

Whoever opens a session (a pytest run, or one `hv`) holds the listening socket. The first client
that connects makes it start the server (`harness.appliance.serve`), which dies with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from harness import project, supervise

VARIABLE = "VANDERPOOL_APPLIANCE"
"""Names the directory of the session that child processes are to use."""

PREFIX = "vanderpool-appliance-"
SOCKET = "socket"
LOCK = "lock"
LOG = "server.log"
_BACKLOG = 64  # clients that wait for their turn
_EVER = 1e6  # seconds; a session has no time limit of its own
_SETTLED = 60.0  # seconds; more than it takes to lock a new directory
_GRACE = 5.0  # seconds for the server to end its Bochs


def remove_abandoned() -> None:
    """Remove what sessions left that were killed: directories of ours that nobody holds locked."""
    settled = time.time() - _SETTLED
    for place in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (place / LOCK).open("rb") as lock:
            if os.fstat(lock.fileno()).st_uid == os.getuid() and place.stat().st_mtime < settled:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def socket_of(directory: Path) -> Iterator[str]:
    """The address of the socket in a session's ``directory``, however long that one's path is.

    A socket's own path has 107 bytes at most (unix(7)), so it goes by a descriptor.
    """
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


class Session:
    """A directory that only we may enter, and the listening socket in it. A context."""

    def __init__(self) -> None:
        remove_abandoned()
        self.directory = Path(tempfile.mkdtemp(prefix=PREFIX))  # mode 0700
        self._lock = (self.directory / LOCK).open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        try:
            with socket_of(self.directory) as address:
                self._listener.bind(address)
            self._listener.listen(_BACKLOG)
        except OSError:
            self._release()
            raise
        # A thread of its own: the server dies with the thread that started it.
        self._thread = threading.Thread(target=self._attend, name="appliance", daemon=True)
        self._thread.start()

    def _attend(self) -> None:
        """Start the server for the first client, and again if it dies before the session does."""
        while self._stop not in supervise.readable((self._listener.fileno(), self._stop), _EVER):
            server = self._start()
            with supervise.ProcessEnd(server) as ended:
                supervise.readable((ended.fileno(), self._stop), _EVER)
            supervise.end(server, soft=server.terminate, grace=_GRACE)
            self._send_away()

    def _send_away(self) -> None:
        """Hang up on clients whom a server that died has not accepted: they must not wait on."""
        self._listener.setblocking(False)
        with contextlib.suppress(OSError):
            while True:
                self._listener.accept()[0].close()

    def _start(self) -> subprocess.Popen[bytes]:
        descriptor = self._listener.fileno()
        package = Path(__file__).resolve().parent.parent.parent
        path = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
        with (self.directory / LOG).open("ab") as log:
            return supervise.spawn(
                [sys.executable, "-m", "harness.appliance.serve", str(descriptor)],
                self.directory,
                stderr=log,
                pass_fds=(descriptor,),
                environment={
                    **os.environ,
                    "PYTHONPATH": path,
                    "VANDERPOOL_ROOT": str(project.root()),
                },
            )

    def close(self) -> None:
        """End the server and its appliance, remove the directory. Idempotent; never raises."""
        if self._stop < 0:
            return
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        self._release()

    def _release(self) -> None:
        self._listener.close()
        self._lock.close()
        os.close(self._stop)
        self._stop = -1
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_own: Session | None = None


def directory() -> Path:
    """The directory of the session that this process belongs to; opens one if there is none."""
    global _own
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    if _own is None:
        import atexit

        _own = Session()
        atexit.register(close)
    return _own.directory


def close() -> None:
    """End the session that this process opened, if it did; the next client opens another."""
    global _own
    if _own is not None:
        _own.close()
        _own = None
