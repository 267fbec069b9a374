"""How each self-test ended, told from the records of one boot."""

from __future__ import annotations

from typing import Any

from harness.records import Record
from harness.selftests import Result, SelfTest, Status, results

ORDER = [SelfTest(name, f"{name} is so") for name in ("first", "second", "third")]


def record(name: str, **facts: Any) -> Record:
    data = {"passed": True, "skipped": None, "message": None, "failed_checks": 0, **facts}
    return Record(0, "selftest", {"seq": 0, "kind": "selftest", "name": name, **data})


def test_each_record_is_a_result() -> None:
    found = results(
        ORDER,
        [
            record("first"),
            record("second", skipped="this CPU has no such thing"),
            record("third", passed=False, message="RIP is 0x1, not 0x2", failed_checks=3),
        ],
    )
    assert found == {
        "first": Result(Status.PASSED),
        "second": Result(Status.SKIPPED, "this CPU has no such thing"),
        "third": Result(Status.FAILED, "RIP is 0x1, not 0x2 (and 2 more)"),
    }


def test_a_crash_fails_the_one_that_ran_and_those_after_it() -> None:
    found = results(ORDER, [record("first")], "#PF page fault at 0x1234")
    assert found["first"].status is Status.PASSED
    assert found["second"].status is Status.FAILED
    assert "was running when the machine ended: #PF page fault" in found["second"].message
    assert found["third"].message == "did not run: second ended the machine"


def test_a_silent_end_is_not_a_pass() -> None:
    found = results(ORDER, [])
    assert {result.status for result in found.values()} == {Status.FAILED}
    assert "no record of it came" in found["first"].message
