"""The exit trace is decoded out of memory: made by hand here, laid out as the image says."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from harness import dwarf, project, timeline, trace
from harness.trace import Exit, Row, Trace
from harness.verdict import RunEnded, Verdict

IMAGE = project.image()
HZ = 4_000_000
START = 0x400000  # of the ring
SIZE = 40  # of a record


@pytest.fixture(scope="module")
def layout() -> dwarf.Layout:
    assert IMAGE.exists(), "run make"
    return dwarf.layout(IMAGE, trace._WANTED)


class Memory:
    """Memory that is zero but where something was written."""

    def __init__(self, layout: dwarf.Layout) -> None:
        self.layout = layout
        self.parts: dict[int, bytes] = {}
        self.put("hz", struct.pack("<Q", HZ))

    def put(self, path: str, data: bytes) -> None:
        self.parts[self.layout.locate(path)[0]] = data

    def ring(self, records: list[bytes], *, size: int, laps: int, next_: int) -> None:
        self.put("trace_rings[0].next", struct.pack("<Q", START + next_ * SIZE))
        self.put("trace_rings[0].start", struct.pack("<Q", START))
        self.put("trace_rings[0].end", struct.pack("<Q", START + size * SIZE))
        self.put("trace_rings[0].laps", struct.pack("<Q", laps))
        self.parts[START] = b"".join(records)

    def read(self, address: int, length: int) -> bytes:
        data = bytearray(length)
        for start, part in self.parts.items():
            for index, byte in enumerate(part):
                if 0 <= start + index - address < length:
                    data[start + index - address] = byte
        return bytes(data)

    def fetch(self) -> Trace:
        return trace.fetch(self.read, IMAGE)


def kind(layout: dwarf.Layout, name: str) -> int:
    wanted = f"VM_EXIT_{name.upper().replace('-', '_')}"
    return next(
        n for n, found in layout.types["enum vm_exit_kind"].names.items() if found == wanted
    )


def record(number: int, *, rip: int = 0, facts: bytes = b"", time: int = 0, **label: int) -> bytes:
    words = (label.get("cycles", 1), label.get("vm", 0), label.get("vcpu", 0), number, 0)
    return struct.pack("<QQ16sIBBBB", time, rip, facts, *words)


@pytest.mark.parametrize(
    ("name", "facts", "what"),
    [
        ("cpuid", struct.pack("<QQ", 0x40000000, 5), "leaf 0x40000000"),
        ("cpuid", struct.pack("<QQ", 0xFFFF_FFFF_0000_0001, 5), "leaf 0x1"),
        ("msr-read", struct.pack("<QQ", 1, 0xC0000080), "0xc0000080"),
        ("msr-write", struct.pack("<QQ", 1, 0x277), "0x277"),
        ("hypercall", struct.pack("<QQ", 2, 0), "report"),
        ("hypercall", struct.pack("<QQ", 99, 0), "0x63"),
        ("xsetbv", struct.pack("<QQ", 7, 0), "xcr0"),
        ("hlt", struct.pack("<QQ", 7, 0), ""),
        ("io", struct.pack("<HBBB", 0x3F8, 1, 0, 0), "out 0x3f8"),
        ("io", struct.pack("<HBBB", 0x3FD, 1, 1, 1), "in 0x3fd string"),
        ("memory", struct.pack("<QIB", 0xD0000010, 1, 0), "write 0xd0000010"),
        ("memory", struct.pack("<QIB", 0x1000, 0, 1), "read 0x1000 in a page walk"),
        ("control-register", struct.pack("<BxxxIBxH", 0, 0, 3, 0), "mov to cr0"),
        ("control-register", struct.pack("<BxxxIBxH", 0, 2, 0, 0), "clts cr0"),
        ("exception", struct.pack("<BBBB", 17, 3, 0, 1), "vector 17"),
    ],
)
def test_an_exit_is_told_by_the_facts_of_its_kind(
    layout: dwarf.Layout, name: str, facts: bytes, what: str
) -> None:
    memory = Memory(layout)
    memory.put("vms[0].options.name", b"hello\0")
    memory.ring([record(kind(layout, name), facts=facts, rip=0x100000)], size=16, laps=0, next_=1)
    assert memory.fetch().exits == (Exit(0, 0, "hello", 0, name, what, 0x100000, 1),)


def test_every_kind_with_facts_says_them(layout: dwarf.Layout) -> None:
    names = layout.types["enum vm_exit_kind"].names
    last = next(n for n, name in names.items() if name == "VM_EXIT_EXCEPTION")
    words = {
        name.removeprefix("VM_EXIT_").lower().replace("_", "-")
        for n, name in names.items()
        if n <= last
    }
    assert words - {"impossible"} == set(trace._DECODED)


def test_a_ring_that_is_not_full_has_lost_nothing(layout: dwarf.Layout) -> None:
    memory = Memory(layout)
    records = [record(0, time=time) for time in range(16)]
    memory.ring(records, size=16, laps=0, next_=3)
    found = memory.fetch()
    assert ([one.time for one in found.exits], found.lost, found.hz) == ([0, 1, 2], 0, HZ)


@pytest.mark.parametrize(
    ("laps", "next_", "places", "lost"),
    [
        (0, 4, [0, 1, 2, 3], 0),
        (1, 1, [1, 2, 3, 0], 1),
        (1, 4, [0, 1, 2, 3], 4),
        (5, 2, [2, 3, 0, 1], 18),
    ],
)
def test_what_was_overwritten_is_counted_and_the_rest_is_in_order(
    layout: dwarf.Layout, laps: int, next_: int, places: list[int], lost: int
) -> None:
    memory = Memory(layout)
    memory.ring(
        [record(0, rip=place, time=0) for place in range(4)], size=4, laps=laps, next_=next_
    )
    found = memory.fetch()
    assert ([one.rip for one in found.exits], found.lost) == (places, lost)


def test_without_a_ring_there_are_no_exits(layout: dwarf.Layout) -> None:
    assert Memory(layout).fetch() == Trace((), (0,), HZ, on=False)


@pytest.mark.parametrize(
    ("start", "end", "next_"),
    [
        (START, START + 16 * SIZE, START - SIZE),
        (START, START + 16 * SIZE, START + 17 * SIZE),
        (START, START + 16 * SIZE, START + 1),
        (START, START + 1, START),
        (START, START, START),
        (START, START + (1 << 40) * SIZE, START),
    ],
)
def test_a_ring_that_can_not_be_is_damaged(
    layout: dwarf.Layout, start: int, end: int, next_: int
) -> None:
    memory = Memory(layout)
    memory.ring([], size=16, laps=0, next_=0)
    for name, value in (("start", start), ("end", end), ("next", next_)):
        memory.put(f"trace_rings[0].{name}", struct.pack("<Q", value))
    with pytest.raises(RunEnded, match="damaged") as ended:
        memory.fetch()
    assert ended.value.verdict is Verdict.FAILED


def test_numbers_without_a_name_stay_numbers(layout: dwarf.Layout) -> None:
    memory = Memory(layout)
    memory.ring([record(200, vm=3), record(0, vm=255)], size=16, laps=0, next_=2)
    assert [(one.kind, one.guest) for one in memory.fetch().exits] == [
        ("kind-200", "guest-3"),
        ("impossible", "guest-255"),
    ]


def test_an_exit_that_is_being_handled_has_no_cycles_yet(layout: dwarf.Layout) -> None:
    memory = Memory(layout)
    memory.ring([record(0, cycles=0)], size=16, laps=0, next_=1)
    (found,) = memory.fetch().exits
    assert found.cycles is None
    assert "not done" in "".join(timeline.table(memory.fetch()))


def exits() -> Trace:
    def one(time: int, guest: str, kind: str, cycles: int | None) -> Exit:
        return Exit(time, 0, guest, 0, kind, "", 0x1000, cycles)

    return Trace(
        (
            one(1000, "a", "cpuid", 100),
            one(1200, "a", "cpuid", 300),
            one(2000, "b", "hlt", 100),
            one(4000, "a", "cpuid", 200),
            one(5000, "a", "io", None),
        ),
        (7,),
        1_000_000,
    )


def test_the_summary_counts_by_guest_and_kind() -> None:
    assert exits().summary() == [
        Row("a", "cpuid", 3, 100, 200, 300, 600 / 700),
        Row("a", "io", 1, 0, 0, 0, 0.0),
        Row("b", "hlt", 1, 100, 100, 100, 100 / 700),
    ]
    assert exits().as_json()["lost"] == 7


def test_the_timeline_has_a_track_for_each_guest() -> None:
    found = list(timeline.events(exits()))
    names = {e["tid"]: e["args"]["name"] for e in found if e["name"] == "thread_name"}
    assert names == {1: "a", 2: "b"}
    slices = [(e["tid"], e["name"], e["ts"], e["dur"]) for e in found if e["ph"] == "X"]
    assert slices[:5] == [
        (1, "cpuid", 0.0, 100.0),
        (1, "runs", 100.0, 100.0),
        (1, "cpuid", 200.0, 300.0),
        (2, "runs", 500.0, 500.0),
        (2, "hlt", 1000.0, 100.0),
    ]


def test_a_trace_is_written_as_a_timeline_or_as_a_table(tmp_path: Path) -> None:
    timeline.write(exits(), tmp_path / "out.json")
    document: dict[str, Any] = json.loads((tmp_path / "out.json").read_text())
    assert len([e for e in document["traceEvents"] if e.get("cat") == "exit"]) == 5
    timeline.write(exits(), tmp_path / "out.txt")
    lines = (tmp_path / "out.txt").read_text().splitlines()
    assert lines[0] == "(7 older exits were overwritten)"
    assert len(lines) == 6
    with pytest.raises(RunEnded, match="can't be written"):
        timeline.write(exits(), tmp_path / "nowhere" / "out.json")
