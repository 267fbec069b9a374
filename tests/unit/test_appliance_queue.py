"""The queue for the appliance: one client at a time, in order, and a new appliance after a mess."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import supervise
from harness.appliance import lease, serve, session
from harness.verdict import RunEnded, Verdict, bad_usage

SOON = 10.0  # seconds; only a hang takes so long


class Appliance(SimpleNamespace):
    """Looks like one, and is a process that waits to be ended."""

    def __init__(self, directory: Path) -> None:
        pairs = [socket.socketpair() for _ in range(4)]
        super().__init__(
            process=supervise.spawn(["cat"], directory, stdin=subprocess.PIPE),
            control=pairs[0][0], ports=tuple(pair[0] for pair in pairs[1:]), pairs=pairs,
            disk=directory / "disk",
        )  # fmt: skip

    def close(self) -> None:
        supervise.end(self.process)
        self.process.stdin.close()
        for mine, its in self.pairs:
            mine.close()
            its.close()


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Appliance]]:
    """Every appliance that the server has started, while one serves this test's clients."""
    appliances: list[Appliance] = []
    (tmp_path / "away").mkdir()

    def start(self: Any, client: socket.socket) -> Appliance:
        appliances.append(Appliance(tmp_path))
        self._appliance = appliances[-1]
        client.send(serve._message("say", text="starting"))
        return appliances[-1]

    monkeypatch.setattr(serve.Server, "_start", start)
    monkeypatch.setattr(serve, "_in_order", lambda _: True)
    monkeypatch.setenv(session.VARIABLE, str(tmp_path))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(tmp_path / session.SOCKET))
    listener.listen()

    def run() -> None:
        with serve.Server(listener, tmp_path) as server, contextlib.suppress(OSError):
            server.serve()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield appliances
    listener.shutdown(socket.SHUT_RDWR)
    thread.join(SOON)
    listener.close()
    assert not thread.is_alive()


def take() -> lease.Lease:
    return lease.take(lambda _: None)


def test_one_appliance_serves_one_client_after_the_other(started: list[Appliance]) -> None:
    heard: list[str] = []
    first = lease.take(heard.append)
    assert heard == ["starting"]
    assert first.pid == started[0].process.pid
    first.ports[1].send(b"to the machine")
    assert started[0].pairs[2][1].recv(100) == b"to the machine"
    first.release(clean=True)
    second = take()
    assert second.pid == first.pid
    assert second.run != first.run
    second.release(clean=True)
    assert len(started) == 1


def test_clients_wait_for_their_turn_in_the_order_in_which_they_came(
    started: list[Appliance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_SOON", 0.05)
    runs: list[tuple[int, str]] = []
    first = take()

    def client(number: int, waiting: threading.Event) -> None:
        mine = lease.take(lambda _: waiting.set())  # "waiting for the appliance, ..."
        runs.append((number, mine.run))
        mine.release(clean=True)

    threads = []
    for number in range(3):
        waiting = threading.Event()
        threads.append(threading.Thread(target=client, args=(number, waiting)))
        threads[-1].start()
        assert waiting.wait(SOON)
    first.release(clean=True)
    for thread in threads:
        thread.join(SOON)
    assert [number for number, _ in runs] == [0, 1, 2]
    assert len({run for _, run in runs}) == 3
    assert len(started) == 1


@pytest.mark.parametrize("says_so", [True, False])
def test_a_client_that_leaves_a_mess_takes_the_appliance_along(
    started: list[Appliance], says_so: bool
) -> None:
    first = take()
    if says_so:
        first.release(clean=False)
    else:  # as a killed process does
        for line in (first._server, first.control, *first.ports):
            line.close()
    second = take()
    assert second.pid != first.pid
    assert started[0].process.poll() == -signal.SIGKILL
    second.release(clean=True)


def test_an_appliance_that_dies_tells_its_client_and_the_next_gets_a_new_one(
    started: list[Appliance],
) -> None:
    first = take()
    assert first.poll() is None
    os.kill(first.pid, signal.SIGTERM)
    assert supervise.readable((first.fileno(),), SOON)
    assert first.poll() == -signal.SIGTERM
    first.release(clean=False)
    second = take()
    assert second.pid != first.pid
    second.release(clean=True)


def test_why_there_is_no_appliance_reaches_the_client(
    started: list[Appliance], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise bad_usage("no oil left.", "the console's last line")

    monkeypatch.setattr(serve.Server, "_start", fail)
    with pytest.raises(RunEnded, match="no oil left") as caught:
        take()
    assert caught.value.verdict is Verdict.BAD_USAGE
    assert caught.value.evidence == ("the console's last line",)
    assert started == []


def test_a_session_is_a_private_directory_that_goes_with_it() -> None:
    with session.Session() as opened:
        assert opened.directory.stat().st_mode & 0o777 == 0o700
        assert (opened.directory / session.SOCKET).is_socket()
    assert not opened.directory.exists()
    opened.close()  # once more does no harm


def test_a_server_that_dies_is_said_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nonexistent")  # no Python can start like this
    with session.Session() as opened:
        monkeypatch.setenv(session.VARIABLE, str(opened.directory))
        with pytest.raises(RunEnded, match="server") as caught:
            take()
    assert caught.value.verdict is Verdict.ENGINE_DIED
    assert any("PYTHONHOME" in line or "encodings" in line for line in caught.value.evidence)


def test_a_sessions_directory_may_have_a_long_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / ("long" * 30)
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with session.Session() as living:
        assert (living.directory / session.SOCKET).is_socket()
        with (
            session.socket_of(living.directory) as address,
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client,
        ):
            client.connect(address)


def test_what_a_killed_session_left_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(session, "_SETTLED", -1.0)
    abandoned = tmp_path / f"{session.PREFIX}abandoned"
    abandoned.mkdir()
    (abandoned / session.LOCK).touch()
    with session.Session() as living:
        assert not abandoned.exists()
        session.remove_abandoned()
        assert living.directory.exists()
