"""Records are read from a sender that may lie, flood, or send garbage."""

from __future__ import annotations

import json

import pytest

from harness import records
from harness.records import Record, RecordOrder, Records, contains


def line(**data: object) -> bytes:
    return json.dumps(data).encode() + b"\n"


def test_a_record_is_complete_only_with_its_newline() -> None:
    collected = Records()
    data = line(seq=0, kind="boot", build="ab")
    for byte in data[:-1]:
        assert collected.feed(bytes([byte])) == []
    assert collected.unfinished == data[:-1]
    (record,) = collected.feed(b"\n")
    assert (record.seq, record.kind, record["build"]) == (0, "boot", "ab")
    assert collected.all == [record]
    assert collected.problems == []


def test_records_come_in_order_from_one_piece() -> None:
    collected = Records()
    fresh = collected.feed(line(seq=0, kind="a") + b"\r\n\n" + line(seq=1, kind="b"))
    assert [r.kind for r in fresh] == ["a", "b"]
    assert collected.problems == []


@pytest.mark.parametrize(
    ("garbage", "problem"),
    [
        (b"hello", "not JSON"),
        (b"\xff\xfe\x00{}", "not JSON"),
        (b"[" * 60_000, "not JSON"),
        (b'{"seq":' + b"9" * 5000 + b',"kind":"x"}', "not JSON"),
        (b"42", "not an object"),
        (b'{"kind":"x"}', 'no "seq" number'),
        (b'{"seq":true,"kind":"x"}', 'no "seq" number'),
        (b'{"seq":0,"kind":[]}', 'no "kind" string'),
    ],
)
def test_garbage_is_a_problem_and_the_next_record_is_read(garbage: bytes, problem: str) -> None:
    collected = Records()
    (record,) = collected.feed(garbage + b"\n" + line(seq=0, kind="boot"))
    assert record.kind == "boot"
    (said,) = collected.problems
    assert problem in said
    assert said.isprintable()


def test_a_gap_in_the_sequence_is_a_problem_and_the_record_is_kept() -> None:
    collected = Records()
    collected.feed(line(seq=0, kind="a") + line(seq=3, kind="b") + line(seq=4, kind="c"))
    assert [r.seq for r in collected.all] == [0, 3, 4]
    assert collected.problems == ["record 1 was expected, record 3 came"]


def test_an_endless_line_costs_a_bounded_amount_of_memory() -> None:
    collected = Records()
    for _ in range(100):
        collected.feed(b"x" * 10_000)
        assert len(collected.unfinished) <= records.LONGEST_LINE
    collected.feed(b"\n" + line(seq=0, kind="boot"))
    assert [r.kind for r in collected.all] == ["boot"]
    assert len(collected.problems) == 1


def test_a_flood_of_problems_is_counted_and_not_kept() -> None:
    collected = Records()
    collected.feed(b"x\n" * 1000)
    assert len(collected.problems) == records.MOST_PROBLEMS
    assert collected.problem_count == 1000


def test_a_flood_of_records_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_RECORDS", 10)
    collected = Records()
    collected.feed(b"".join(line(seq=n, kind="x") for n in range(50)))
    assert len(collected.all) == 10
    assert "more than 10 records" in collected.problems[0]


def test_matching_compares_nested_objects_as_subsets() -> None:
    record = Record(0, "crash", {"guest": "a", "registers": {"rax": "0x1", "rip": "0x2"}, "n": [1]})
    assert record.matches("crash", {"registers": {"rip": "0x2"}, "n": [1]})
    assert not record.matches("crash", {"registers": {"rip": "0x3"}})
    assert not record.matches("crash", {"registers": {"rbx": "0x2"}})
    assert not record.matches("vm-stop", {})


def test_true_is_not_one() -> None:
    assert contains({"passed": True}, {"passed": True})
    assert not contains({"passed": 1}, {"passed": True})
    assert not contains({"code": True}, {"code": 1})


def test_records_of_one_guest_come_in_order_but_not_those_of_different_guests() -> None:
    order = RecordOrder()
    order.took("hello", 7)
    assert order.start("hello") == 8
    assert order.start("cpuid") == 0
    assert order.start(None) == 8
    order.took(None, 9)
    assert order.start("cpuid") == order.start("hello") == order.start(None) == 10
