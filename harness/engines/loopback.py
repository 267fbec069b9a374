"""A loopback port that only one process of ours may connect to."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from pathlib import Path

from harness import supervise


def listen() -> socket.socket:
    """A listener on a free port of 127.0.0.1."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    listener.setblocking(False)
    return listener


def _is_from(process: subprocess.Popen[bytes], peer: tuple[str, int], port: int) -> bool:
    """Does the loopback connection from ``peer`` to our ``port`` belong to ``process``?"""
    local, remote = f"0100007F:{peer[1]:04X}", f"0100007F:{port:04X}"
    try:
        table = Path("/proc/net/tcp").read_text()
        files = list(Path(f"/proc/{process.pid}/fd").iterdir())
    except OSError:
        return peer[0] == "127.0.0.1"  # no way to look closer
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[1] == local and fields[2] == remote:
            wanted = f"socket:[{fields[9]}]"
            for file in files:
                with contextlib.suppress(OSError):
                    if str(file.readlink()) == wanted:
                        return True
    return False


def accept(
    listener: socket.socket, process: subprocess.Popen[bytes], deadline: float
) -> socket.socket | None:
    """The connection that ``process`` makes; None if it ends or takes too long."""
    port = listener.getsockname()[1]
    with supervise.ProcessEnd(process) as ended:
        while (left := deadline - time.monotonic()) > 0:
            ready = supervise.readable((listener.fileno(), ended.fileno()), left)
            if listener.fileno() in ready:
                with contextlib.suppress(BlockingIOError):
                    connection, peer = listener.accept()
                    if _is_from(process, peer, port):
                        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        return connection
                    connection.close()
            elif ready:
                return None
    return None
