"""What to do to a PC's ports so that every machine with these devices must answer alike.

Nothing here depends on how fast anything runs: time only matters where an entry waits for it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

WRITE, READ, WAIT, READ_BITS, READ_IN_VAIN = 1, 2, 3, 4, 5

UART = 0x3F8
UART_DATA, UART_IER, UART_IIR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCRATCH = range(
    UART, UART + 8
)


@dataclass
class Traffic:
    """A named list of accesses; what is read has a label each."""

    name: str
    code: bytes = b""
    labels: list[str] = field(default_factory=list)

    def _add(self, operation: int, port: int, value: int) -> Traffic:
        self.code += struct.pack("<BBH", operation, value, port)
        return self

    def out(self, port: int, *values: int) -> Traffic:
        for value in values:
            self._add(WRITE, port, value)
        return self

    def read(self, port: int, label: str = "", bits: int | None = None) -> Traffic:
        self.labels.append(label or f"read {len(self.labels)} of {port:#x}")
        if bits is None:
            return self._add(READ, port, 0)
        return self._add(READ_BITS, port, bits)

    def drop(self, port: int) -> Traffic:
        return self._add(READ_IN_VAIN, port, 0)

    def wait(self, port: int, bits: int) -> Traffic:
        return self._add(WAIT, port, bits)


def uart_registers() -> Traffic:
    t = Traffic("uart-registers").out(UART_LCR, 3).out(UART_MCR, 0).out(UART_IER, 0)
    for value in (0x00, 0x5A, 0xA5, 0xFF):
        t.out(UART_SCRATCH, value).read(UART_SCRATCH, f"SCR {value:02x}")
    for value in range(16):
        t.out(UART_IER, value).read(UART_IER, f"IER {value:02x}")
    t.out(UART_IER, 0)
    for value in range(16):
        t.out(UART_MCR, value).read(UART_MCR, f"MCR {value:02x}")
    t.out(UART_MCR, 0).out(UART_LCR, 0x83).out(UART_DATA, 12).out(UART_IER, 0)
    t.read(UART_DATA, "DLL").read(UART_IER, "DLM").read(UART_LCR, "LCR with DLAB")
    t.out(UART_DATA, 1).out(UART_LCR, 3).read(UART_LCR, "LCR").read(UART_IER, "IER again")
    for value in (0x00, 0x01, 0x07, 0xC7):
        t.out(UART_IIR, value).read(UART_IIR, f"IIR after FCR {value:02x}")
    return t.out(UART_IIR, 7).read(UART_LSR, "LSR")


def uart_interrupts() -> Traffic:
    """The interrupt for an empty transmitter: comes when it is enabled, goes once told."""
    t = Traffic("uart-interrupts").out(UART_LCR, 3).out(UART_MCR, 0).out(UART_IIR, 7)
    t.out(UART_IER, 0).wait(UART_LSR, 0x60).drop(UART_IIR)
    for _ in range(2):
        t.out(UART_IER, 2).read(UART_IIR, "IIR: sent").read(UART_IIR, "IIR: told already")
        t.out(UART_IER, 0).read(UART_IIR, "IIR: disabled")
    return t


def uart_loop() -> Traffic:
    t = Traffic("uart-loop").out(UART_LCR, 3).out(UART_IER, 0).out(UART_IIR, 7).out(UART_MCR, 0x10)
    t.drop(UART_MSR)
    for value in (0, 1, 2, 3, 4, 8, 12, 15, 6, 9, 0):
        t.out(UART_MCR, 0x10 | value).read(UART_MSR, f"MSR, MCR {value:x}", bits=0xF0)
    for value in (0x55, 0xAA, 0x00, 0xFF):
        t.out(UART_DATA, value).wait(UART_LSR, 0x61)
        t.read(UART_LSR, "LSR: data").read(UART_DATA, f"data {value:02x}")
        t.read(UART_LSR, "LSR: none")
    return t.out(UART_MCR, 0)


def pit_formats() -> Traffic:
    """Channel 2 with its gate closed: a count that stands still, in each format."""
    t = Traffic("pit-formats").out(0x61, 0)
    for bcd in (0, 1):
        for access, name in ((1, "low"), (2, "high"), (3, "both")):
            control = 0x80 | access << 4 | bcd
            t.out(0x43, control).out(0x42, 0x34)
            if access == 3:
                t.out(0x42, 0x12)
            for _ in range(100):
                t.drop(0x80)  # long enough for a few ticks
            t.out(0x43, 0xE8).read(0x42, f"status {name} {bcd}", bits=0xBF)
            for _ in range(4 if access == 3 else 2):
                t.read(0x42, f"count {name} {bcd}")
            t.out(0x43, 0x80)
            for _ in range(2 if access == 3 else 1):
                t.read(0x42, f"latched {name} {bcd}")
    return t


def pit_outputs() -> Traffic:
    """What channel 2's output is after a control word, and at the end of a count."""
    t = Traffic("pit-outputs").out(0x61, 0)
    for mode in range(6):
        t.out(0x43, 0xB0 | mode << 1).read(0x61, f"output, mode {mode}", bits=0x20)
        t.out(0x43, 0xE8).read(0x42, f"status, mode {mode}")
    t.out(0x43, 0xB0).out(0x42, 100, 0).read(0x61, "gate closed", bits=0x21)
    t.out(0x61, 1).wait(0x61, 0x20).read(0x61, "terminal count", bits=0x2F)
    t.out(0x42, 100).read(0x61, "first byte", bits=0x20)
    t.out(0x42, 0).wait(0x61, 0x20).read(0x61, "again", bits=0x20)
    return t.out(0x61, 0)


def _pics(t: Traffic, icw4: int = 1) -> Traffic:
    t.out(0x20, 0x11).out(0x21, 0x30, 4, icw4).out(0xA0, 0x11).out(0xA1, 0x38, 2, icw4)
    return t.out(0x21, 0xFE).out(0xA1, 0xFF)


def pic_masks() -> Traffic:
    t = _pics(Traffic("pic-masks"))
    for value in (0x00, 0x55, 0xAA, 0xFF, 0xFB):
        t.out(0x21, value).read(0x21, f"IMR {value:02x}")
        t.out(0xA1, value).read(0xA1, f"slave's IMR {value:02x}")
    t.out(0x20, 0x11).out(0x21, 0x30, 4, 1).read(0x21, "IMR after ICW1")
    t.out(0x20, 0x0B).read(0x20, "ISR").out(0xA0, 0x0B).read(0xA0, "slave's ISR")
    t.out(0x21, 0xFF).out(0xA1, 0xFF)
    return t


def pic_polls() -> Traffic:
    """IRQ 0 by polling: requested, in service, ended in each way."""
    t = _pics(Traffic("pic-polls"))
    t.out(0x20, 0x0C).read(0x20, "poll: nothing", bits=0x80)
    for name, end in (("any", 0x20), ("this", 0x60), ("rotating", 0xA0), ("this rotating", 0xE0)):
        t.out(0x43, 0x30).out(0x40, 50, 0)
        t.out(0x20, 0x0A).wait(0x20, 0x01).read(0x20, f"IRR, {name}", bits=1)
        t.out(0x20, 0x0C).read(0x20, f"poll, {name}")
        t.out(0x20, 0x0B).read(0x20, f"ISR, {name}")
        t.out(0x20, 0x0A).read(0x20, f"IRR in service, {name}", bits=1)
        t.out(0x20, 0x0C).read(0x20, f"poll in service, {name}", bits=0x80)
        t.out(0x20, end, 0x0B).read(0x20, f"ISR at the end, {name}")
    t.out(0x20, 0xC7)  # input 7 is lowest again
    t = _pics(t, icw4=3)
    t.out(0x43, 0x30).out(0x40, 50, 0).out(0x20, 0x0A).wait(0x20, 0x01)
    t.out(0x20, 0x0C).read(0x20, "poll, automatic end").out(0x20, 0x0B).read(0x20, "ISR then")
    return _pics(t).out(0x21, 0xFF)


def pic_priorities() -> Traffic:
    """IRQ 0 and IRQ 8, the clock's, in the orders that rotation gives them."""
    t = _pics(Traffic("pic-priorities")).out(0x21, 0xFA).out(0xA1, 0xFE)
    t.out(0x70, 0x0A).out(0x71, 0x26).out(0x70, 0x0B).out(0x71, 0x02).out(0x70, 0x0C).drop(0x71)
    for lowest in (7, 0, 1, 2):
        t.out(0x70, 0x0B).out(0x71, 0x42).out(0x43, 0x30).out(0x40, 50, 0)
        t.out(0x20, 0x0A).wait(0x20, 0x05).out(0x20, 0xC0 | lowest)
        t.out(0x20, 0x0C).read(0x20, f"first, {lowest} lowest")
        t.out(0x20, 0x0B).read(0x20, f"ISR, {lowest} lowest")
        t.out(0x20, 0x20, 0x0C).read(0x20, f"second, {lowest} lowest").out(0x20, 0x20)
        t.out(0xA0, 0x0C).read(0xA0, f"slave's, {lowest} lowest").out(0xA0, 0x20)
        t.out(0x70, 0x0B).out(0x71, 0x02).out(0x70, 0x0C).drop(0x71)
    return t.out(0x20, 0xC7).out(0x21, 0xFF).out(0xA1, 0xFF)


def clock_set() -> Traffic:
    """The clock stands still and keeps what is written; then it goes on to a new year."""
    t = Traffic("clock-set").out(0x70, 0x0B).out(0x71, 0x82).read(0x71, "B")
    date = {0x32: 0x20, 9: 0x24, 8: 0x12, 7: 0x31, 6: 3, 4: 0x23, 2: 0x59, 0: 0x59}
    for index, value in date.items():
        t.out(0x70, index).out(0x71, value).read(0x71, f"set {index:02x}")
    t.out(0x70, 0x0D).read(0x71, "D").out(0x70, 0x0C).drop(0x71)
    t.out(0x70, 0x0B).out(0x71, 0x12).out(0x70, 0x0C).wait(0x71, 0x10)
    for index in (0, 2, 4, 7, 8, 9):
        t.out(0x70, index).read(0x71, f"after an update {index:02x}")
    return t.out(0x70, 0x0B).out(0x71, 0x02)


SECTIONS = (
    uart_registers,
    uart_interrupts,
    uart_loop,
    pit_formats,
    pit_outputs,
    pic_masks,
    pic_polls,
    pic_priorities,
    clock_set,
)
