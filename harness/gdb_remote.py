"""gdb's Remote Serial Protocol, from the machine's side (gdb's manual, appendix E).

One processor, in 64-bit layout: registers, memory, breakpoints, one step, on and stop. What gdb may
do without (threads, tracepoints, writing registers) is answered as the manual asks: with nothing.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from harness.engines.base import Unsupported
from harness.verdict import RunEnded

_PACKET = 0x4000  # bytes
_ANSWER_WITHIN = 5.0  # seconds for gdb to take a packet
_BREAKPOINT = 5  # SIGTRAP
_NAMED = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp")
_GENERAL = (*_NAMED, *(f"r{n}" for n in range(8, 16)))
_SEGMENTS = ("cs", "ss", "ds", "es", "fs", "gs")
_FPU = ("fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop")
_CONTROL = ("cr0", "cr2", "cr3", "cr4", "efer")

# (name, bytes, type, the name that our engines know it by: None where none can tell it)
_REGISTERS: tuple[tuple[str, int, str, str | None], ...] = (
    *((name, 8, "int64", name) for name in _GENERAL),
    ("rip", 8, "code_ptr", "rip"),
    ("eflags", 4, "int32", "rflags"),
    *((name, 4, "int32", name) for name in _SEGMENTS),
    *((f"st{n}", 10, "i387_ext", None) for n in range(8)),
    *((name, 4, "int", None) for name in _FPU),
    *((name, 8, "int64", name) for name in _CONTROL),
)
_FIRST_CONTROL = len(_REGISTERS) - len(_CONTROL)


class Target(Protocol):
    """What is debugged. Calls raise RunEnded or Unsupported where they can't be carried out."""

    def registers(self) -> Mapping[str, int]:
        """Values by lower-case manual name."""

    def read(self, address: int, length: int, *, physical: bool) -> bytes:
        """Memory, by linear or physical address; fewer bytes where there is none."""

    def write(self, address: int, data: bytes, *, physical: bool) -> bool:
        """Write memory; False if it is not there."""

    def breakpoint(self, address: int, *, wanted: bool) -> None:
        """Stop there from now on, or not any more."""

    def run(self, *, step: bool) -> None:
        """Go on, or do one instruction; `Stub.stopped` is to be called at the next stop."""

    def interrupt(self) -> None:
        """Stop now."""

    def monitor(self, command: str) -> str:
        """What the engine itself answers to a command of its own."""


class Left(Exception):
    """gdb has gone; ``killed``: and wants the machine to end."""

    def __init__(self, *, killed: bool = False) -> None:
        super().__init__()
        self.killed = killed


class Stub:
    """One gdb at the other end of ``connection``, and what it debugs, which is stopped."""

    def __init__(self, connection: socket.socket, target: Target) -> None:
        self._connection = connection
        self._connection.settimeout(_ANSWER_WITHIN)
        self._target = target
        self._received = bytearray()
        self._acknowledges = True
        self._physical = False  # memory is read by physical address
        self.running = False

    def receive(self) -> None:
        """Take what gdb has sent, which must be something, and answer. Raises Left."""
        try:
            data = self._connection.recv(_PACKET)
        except OSError:
            data = b""
        if not data:
            raise Left
        self._received += data
        while self._take_one():
            pass
        if len(self._received) > 2 * _PACKET:
            raise Left  # that is no gdb

    def stopped(self, why: str = "") -> None:
        """Tell gdb that what it let run has stopped; ``why`` is shown to its user."""
        if self.running:
            if why:
                self._send("O" + f"{why}\n".encode().hex())
            self.running = False
            self._send(f"S{_BREAKPOINT:02x}")

    def _take_one(self) -> bool:
        """Take one whole packet, or a byte outside of packets; False if there is neither."""
        if self._received[:1] == b"\x03":
            del self._received[:1]
            if self.running:
                self._target.interrupt()
            return True
        if self._received[:1] != b"$":
            del self._received[:1]  # an acknowledgement
            return bool(self._received)
        packet = re.match(rb"\$([^#]*)#([0-9a-fA-F]{2})", bytes(self._received))
        if packet is None:
            return False
        del self._received[: packet.end()]
        right = sum(packet[1]) & 0xFF == int(packet[2], 16)
        if self._acknowledges:
            self._send_raw(b"+" if right else b"-")
        if right and not self.running:
            self._obey(packet[1].decode("ascii", "replace"))
        return True

    def _obey(self, packet: str) -> None:
        for start, handler in self._HANDLERS.items():
            if packet.startswith(start):
                try:
                    answer = handler(self, packet[len(start) :])
                except (RunEnded, Unsupported, ValueError, OverflowError):
                    answer = "E01"
                if answer is not None:
                    self._send(answer)
                return
        self._send("")  # which means: not supported

    def _send(self, text: str) -> None:
        data = text.encode()
        self._send_raw(b"$%s#%02x" % (data, sum(data) & 0xFF))

    def _send_raw(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except OSError:
            raise Left from None

    # Packets, by their first letters; None where the answer comes later

    def _supported(self, _: str) -> str:
        return f"PacketSize={_PACKET:x};QStartNoAckMode+;qXfer:features:read+"

    def _no_acknowledgements(self, _: str) -> str:
        self._acknowledges = False
        return "OK"

    def _description(self, words: str) -> str:
        """The registers' names and sizes, a part of a document (E.16 Target Descriptions)."""
        offset, length = (int(word, 16) for word in words.split(","))
        text = _target_description()
        more = "m" if offset + length < len(text) else "l"
        return more + text[offset : offset + length]

    def _why_stopped(self, _: str) -> str:
        return f"S{_BREAKPOINT:02x}"

    def _read_registers(self, _: str) -> str:
        known = self._target.registers()
        return "".join(_as_hex(known, index) for index in range(len(_REGISTERS)))

    def _read_register(self, words: str) -> str:
        index = int(words, 16)
        return _as_hex(self._target.registers(), index) if index < len(_REGISTERS) else "E01"

    def _read_memory(self, words: str) -> str:
        address, length = (int(word, 16) for word in words.split(","))
        most = _PACKET // 2 - 4
        data = self._target.read(address, min(length, most), physical=self._physical)
        return data.hex() if data else "E14"

    def _write_memory(self, words: str) -> str:
        place, _, content = words.partition(":")
        address = int(place.split(",")[0], 16)
        written = self._target.write(address, bytes.fromhex(content), physical=self._physical)
        return "OK" if written else "E14"

    def _set_breakpoint(self, words: str) -> str:
        self._target.breakpoint(int(words.split(",")[0], 16), wanted=True)
        return "OK"

    def _clear_breakpoint(self, words: str) -> str:
        self._target.breakpoint(int(words.split(",")[0], 16), wanted=False)
        return "OK"

    def _continue(self, _: str) -> None:
        self._target.run(step=False)
        self.running = True

    def _step(self, _: str) -> None:
        self._target.run(step=True)
        self.running = True

    def _monitor(self, words: str) -> str:
        try:
            said = self._target.monitor(bytes.fromhex(words).decode("utf-8", "replace"))
        except RunEnded as refused:
            said = f"{refused.sentence}\n"
        for at in range(0, len(said), _PACKET // 4):
            self._send("O" + said[at : at + _PACKET // 4].encode("utf-8", "replace").hex())
        return "OK"

    def _memory_mode(self, words: str) -> str:
        self._physical = words.startswith("1")
        return "OK"

    def _detach(self, _: str) -> str:
        with suppress(Left):
            self._send("OK")
        raise Left

    def _kill(self, _: str) -> str:
        raise Left(killed=True)

    _HANDLERS: Mapping[str, Callable[[Stub, str], str | None]] = {
        "qSupported": _supported,
        "QStartNoAckMode": _no_acknowledgements,
        "qXfer:features:read:target.xml:": _description,
        "qAttached": lambda self, _: "1",  # so that `quit` detaches
        "qRcmd,": _monitor,
        "Qqemu.PhyMemMode:": _memory_mode,  # QEMU's own, and so known by that name
        "qqemu.PhyMemMode": lambda self, _: str(int(self._physical)),
        "H": lambda self, _: "OK",  # there is one thread
        "?": _why_stopped,
        "g": _read_registers,
        "p": _read_register,
        "m": _read_memory,
        "M": _write_memory,
        "Z0,": _set_breakpoint,
        "Z1,": _set_breakpoint,
        "z0,": _clear_breakpoint,
        "z1,": _clear_breakpoint,
        "c": _continue,
        "s": _step,
        "D": _detach,
        "k": _kill,
    }


def _as_hex(known: Mapping[str, int], index: int) -> str:
    """A register's bytes, or as many x as they would take."""
    _, size, _, name = _REGISTERS[index]
    value = known.get(name) if name else None
    if value is None:
        return "xx" * size
    return (value & (1 << 8 * size) - 1).to_bytes(size, "little").hex()


def _target_description() -> str:
    rows = [
        f'<reg name="{name}" bitsize="{8 * size}" type="{kind}"/>'
        for name, size, kind, _ in _REGISTERS
    ]
    return (
        '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0">'
        "<architecture>i386:x86-64</architecture>"
        f'<feature name="org.gnu.gdb.i386.core">{"".join(rows[:_FIRST_CONTROL])}</feature>'
        f'<feature name="org.vanderpool.control">{"".join(rows[_FIRST_CONTROL:])}</feature>'
        "</target>"
    )
