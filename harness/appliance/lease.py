"""A client's side of the appliance's queue: have it for one machine, then give it back."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
from pathlib import Path
from typing import Any

from harness import supervise
from harness.appliance import session
from harness.engines.base import Say
from harness.verdict import RunEnded, Verdict

LONGEST_MESSAGE = 1 << 16  # bytes
DONE = b"done"

_LINES = 4
_SOON = 2.0  # seconds; whose turn it is hears from the server sooner


class Lease:
    """The appliance's serial lines, ours alone until `release`; and its Bochs as a `Process`."""

    def __init__(
        self, server: socket.socket, run: str, pid: int, disk: Path, lines: list[socket.socket]
    ) -> None:
        self.run = run  # what the agent is to call this client's run
        self.pid = pid  # of the appliance's Bochs
        self.disk = disk  # the appliance's, for files that it is to get
        self.control = lines[0]
        self.ports = tuple(lines[1:])
        self._server = server
        self._status: int | None = None

    def fileno(self) -> int:
        """Readable when the appliance has ended."""
        return self._server.fileno()

    def poll(self) -> int | None:
        """The exit status of the appliance's Bochs, as Popen's; None while it runs."""
        if self._status is None and self._server.fileno() >= 0:
            try:
                message = _decoded(self._server.recv(LONGEST_MESSAGE, socket.MSG_DONTWAIT))
            except BlockingIOError:
                return None
            except OSError:
                message = {}
            # A server that is gone has taken its Bochs with it.
            self._status = int(message.get("status", -signal.SIGKILL))
        return self._status

    def release(self, *, clean: bool) -> None:
        """Give the appliance back; not ``clean``: the next client needs a new one. Idempotent."""
        if self._server.fileno() < 0:
            return
        self.poll()
        with contextlib.suppress(OSError):
            if clean:
                self._server.send(DONE)
        for line in (self._server, self.control, *self.ports):
            line.close()


def take(say: Say) -> Lease:
    """Wait until the appliance is ours; ``say`` hears what is being waited for.

    Raises RunEnded if there can be no appliance: ENGINE_MISSING, or ENGINE_DIED with its console.
    """
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with session.socket_of(session.directory()) as address:
            server.connect(address)
        if not supervise.readable((server.fileno(),), _SOON):
            say("waiting for the appliance, in which another machine runs")
        while True:
            message, lines = _next(server)
            if message.get("kind") == "say":
                say(str(message["text"]))
            elif message.get("kind") == "ready" and len(lines) == _LINES:
                run, pid, disk = message["run"], message["pid"], message["disk"]
                return Lease(server, str(run), int(pid), Path(disk), lines)
            else:
                raise _failure(message)
    except OSError as error:
        server.close()
        raise RunEnded(
            Verdict.ENGINE_DIED, f"the appliance's server can't be reached: {error.strerror}."
        ) from None
    except BaseException:
        server.close()
        raise


def _next(server: socket.socket) -> tuple[dict[str, Any], list[socket.socket]]:
    data, descriptors, _, _ = socket.recv_fds(
        server, LONGEST_MESSAGE, _LINES, socket.MSG_CMSG_CLOEXEC
    )
    return _decoded(data), [socket.socket(fileno=descriptor) for descriptor in descriptors]


def _decoded(data: bytes) -> dict[str, Any]:
    return dict(json.loads(data)) if data else {}


def _failure(message: dict[str, Any]) -> RunEnded:
    if message.get("kind") != "failed":
        return RunEnded(
            Verdict.ENGINE_DIED,
            "the appliance's server ended by itself.",
            evidence=_last_lines(session.directory() / session.LOG),
        )
    return RunEnded(
        Verdict.from_word(message["verdict"]),
        str(message["sentence"]),
        evidence=tuple(message["evidence"]),
        facts=dict(message["facts"]),
    )


def _last_lines(path: Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_text(errors="replace").splitlines()[-8:])
    except OSError:
        return ()
