"""The appliance's server: owns it, and hands its serial lines to one client at a time.

A process of its own, started by `harness.appliance.session`. Clients queue at the socket; each gets
the lines themselves (SCM_RIGHTS), so nothing of ours stands between a client and its machine. A
client says that it has left everything in order; where one just goes, the appliance goes too.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import supervise
from harness.appliance import store
from harness.appliance.agent import Agent
from harness.appliance.lease import DONE, LONGEST_MESSAGE
from harness.verdict import RunEnded

if TYPE_CHECKING:
    from harness.appliance.boot import Appliance

_EVER = 1e6  # seconds; how long a client may stay is the client's own affair


class Server:
    """Serves clients until it is killed. A context: leaving it ends the appliance."""

    def __init__(self, listener: socket.socket, directory: Path) -> None:
        self._listener = listener
        self._directory = directory
        self._appliance: Appliance | None = None
        self._clients = 0
        self._starts = 0

    def serve(self) -> None:
        """Serve one client after the other, in the order in which they came."""
        while True:
            client, _ = self._listener.accept()
            with client, contextlib.suppress(ConnectionError):
                self._clients += 1
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        try:
            appliance = self._appliance or self._start(client)
        except RunEnded as ended:
            _fail(client, ended)
            return
        lines = [line.fileno() for line in (appliance.control, *appliance.ports)]
        message = _message("ready", run=f"run-{self._clients}", pid=appliance.process.pid)
        socket.send_fds(client, [message], lines)
        with supervise.ProcessEnd(appliance.process) as end:
            supervise.readable((client.fileno(), end.fileno()), _EVER)
        if appliance.process.poll() is not None:
            self._end()
            client.send(_message("died", status=appliance.process.returncode))
        elif client.recv(LONGEST_MESSAGE) != DONE or not _in_order(appliance):
            self._end()

    def _start(self, client: socket.socket) -> Appliance:
        from harness.appliance import boot
        from harness.appliance.assemble import assemble
        from harness.engines.bochs_process import RAM_IMAGE

        def say(text: str) -> None:
            with contextlib.suppress(OSError):  # it may go: the next one wants an appliance too
                client.send(_message("say", text=text))

        say("looking for the appliance")
        parts = assemble(say)
        self._starts += 1
        place = self._directory / f"appliance-{self._starts}"
        place.mkdir()
        say(f"starting the appliance: {parts.versions['kernel']} in Bochs, half a minute or less")
        self._appliance = boot.start(parts, place, store.known())
        (place / RAM_IMAGE).unlink(missing_ok=True)  # Bochs has read it, and it is large
        return self._appliance

    def _end(self) -> None:
        if self._appliance is not None:
            self._appliance.close()
            self._appliance = None

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()


def _in_order(appliance: Appliance) -> bool:
    """Whether the agent waits for a request; what is left on the lines is thrown away."""
    try:
        Agent(appliance.control).have("nothing")
        for port in appliance.ports:
            with contextlib.suppress(BlockingIOError):
                while port.recv(1 << 16, socket.MSG_DONTWAIT):
                    pass
    except (RunEnded, OSError):
        return False
    return True


def _message(kind: str, **facts: Any) -> bytes:
    return json.dumps({"kind": kind, **facts}).encode()[:LONGEST_MESSAGE]


def _fail(client: socket.socket, ended: RunEnded) -> None:
    message = _message(
        "failed",
        verdict=ended.verdict.word,
        sentence=ended.sentence,
        evidence=[line[:1000] for line in ended.evidence[:30]],
        facts=ended.facts,
    )
    client.send(message)


def main() -> int:
    """Serve at the listening socket whose descriptor is the argument, until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    listener = socket.socket(fileno=int(sys.argv[1]))
    listener.setblocking(True)
    with Server(listener, Path.cwd()) as server:
        server.serve()
    return 0


if __name__ == "__main__":
    main()
