"""gdb's protocol against a machine that is a dictionary."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from harness.gdb_remote import Left, Stub
from harness.verdict import bad_usage


@dataclass
class Fake:
    """Plays the part of a machine."""

    did: list[str] = field(default_factory=list)

    def registers(self) -> Mapping[str, int]:
        return {"rax": 0x1122, "rip": 0xFFF0, "rflags": 2, "cr3": 0x1000}

    def read(self, address: int, length: int, *, physical: bool) -> bytes:
        self.did.append(f"read {address:#x} {length} {physical}")
        return bytes(range(length)) if address < 0x1000 else b""

    def write(self, address: int, data: bytes, *, physical: bool) -> bool:
        self.did.append(f"write {address:#x} {data.hex()}")
        return address < 0x1000

    def breakpoint(self, address: int, *, wanted: bool) -> None:
        if address > 0xFFFF:
            raise bad_usage("no more")
        self.did.append(f"breakpoint {address:#x} {wanted}")

    def run(self, *, step: bool) -> None:
        self.did.append("step" if step else "go")

    def interrupt(self) -> None:
        self.did.append("interrupt")

    def monitor(self, command: str) -> str:
        return f"{command}!\n"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    with ours, theirs:
        yield ours, theirs


def packet(text: str) -> bytes:
    return f"${text}#{sum(text.encode()) & 0xFF:02x}".encode()


@pytest.fixture
def target() -> Fake:
    return Fake()


@pytest.fixture
def stub(ends: tuple[socket.socket, socket.socket], target: Fake) -> Stub:
    return Stub(ends[0], target)


def ask(stub: Stub, ends: tuple[socket.socket, socket.socket], text: str) -> bytes:
    ends[1].sendall(packet(text))
    stub.receive()
    return ends[1].recv(1 << 16)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("m10,4", "00010203"),
        ("m2000,4", "E14"),
        ("mrubbish", "E01"),
        ("M10,2:abcd", "OK"),
        ("M10,2:xy", "E01"),
        ("M2000,1:00", "E14"),
        ("Z0,1234,1", "OK"),
        ("z1,1234,1", "OK"),
        ("Z1,12345678,1", "E01"),
        ("Z2,1234,1", ""),
        ("p10", "f0ff000000000000"),
        ("p18", "x" * 20),  # ST0: nobody can tell
        ("pffff", "E01"),
        ("vCont?", ""),
        ("qAttached", "1"),
        ("?", "S05"),
    ],
)
def test_each_packet_has_its_answer(
    stub: Stub, ends: tuple[socket.socket, socket.socket], text: str, answer: str
) -> None:
    assert ask(stub, ends, text) == b"+" + packet(answer)


def test_registers_come_in_the_order_of_the_description(
    stub: Stub, ends: tuple[socket.socket, socket.socket]
) -> None:
    said = ask(stub, ends, "g").decode()
    assert said.startswith("+$2211000000000000" + "x" * 16)
    described = ask(stub, ends, "qXfer:features:read:target.xml:0,3fff").decode()
    assert described.startswith("+$l<?xml")
    assert described.index('name="rip"') < described.index('name="st0"')
    first = ask(stub, ends, "qXfer:features:read:target.xml:0,10").decode()
    assert first.startswith("+$m")
    assert len(first) == len("+$m#00") + 16


def test_physical_memory_is_read_when_asked_for(
    stub: Stub, ends: tuple[socket.socket, socket.socket], target: Fake
) -> None:
    for text in ("m0,1", "Qqemu.PhyMemMode:1", "m0,1", "Qqemu.PhyMemMode:0", "m0,1"):
        ask(stub, ends, text)
    assert [did.split()[-1] for did in target.did] == ["False", "True", "False"]


def test_while_it_runs_only_an_interrupt_is_heard_and_a_stop_is_told_once(
    stub: Stub, ends: tuple[socket.socket, socket.socket], target: Fake
) -> None:
    assert ask(stub, ends, "c") == b"+"
    assert ask(stub, ends, "g") == b"+"
    ends[1].sendall(b"\x03")
    stub.receive()
    stub.stopped("it stopped")
    stub.stopped()
    said = ends[1].recv(1 << 16)
    assert said == packet("O" + b"it stopped\n".hex()) + packet("S05")
    assert target.did == ["go", "interrupt"]


def test_the_engine_s_own_words_are_passed_on(
    stub: Stub, ends: tuple[socket.socket, socket.socket]
) -> None:
    said = ask(stub, ends, "qRcmd," + b"info".hex())
    assert said == b"+" + packet("O" + b"info!\n".hex()) + packet("OK")


def test_a_damaged_packet_is_asked_for_again_and_half_a_one_is_waited_for(
    stub: Stub, ends: tuple[socket.socket, socket.socket]
) -> None:
    ends[1].sendall(b"$?#00")
    stub.receive()
    assert ends[1].recv(100) == b"-"
    ends[1].sendall(packet("?")[:2])
    stub.receive()
    ends[1].sendall(packet("?")[2:])
    stub.receive()
    assert ends[1].recv(100) == b"+" + packet("S05")


@pytest.mark.parametrize(("text", "killed"), [("D", False), ("k", True)])
def test_gdb_leaves_by_detaching_or_by_killing(
    stub: Stub, ends: tuple[socket.socket, socket.socket], text: str, killed: bool
) -> None:
    ends[1].sendall(packet(text))
    with pytest.raises(Left) as left:
        stub.receive()
    assert left.value.killed is killed


def test_what_never_becomes_a_packet_is_hung_up_on(
    stub: Stub, ends: tuple[socket.socket, socket.socket]
) -> None:
    ends[1].sendall(b"$" + b"x" * 60_000)
    stub.receive()
    stub.receive()
    with pytest.raises(Left):
        stub.receive()
