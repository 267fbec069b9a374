"""Which records decide a run, and as what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.judge import Judge
from harness.scenario import Expectation, Scenario
from harness.verdict import RunEnded, Verdict

CRASH = {
    "kind": "crash",
    "guest": "hello",
    "reason": "Memory violation",
    "address": "0x40000000",
    "access": "write",
    "rip": "0x1000",
    "registers": {"rax": "0x1", "rbx": "0x2"},
}
DONE = {"kind": "done", "status": "ok", "code": 0}


def judge(*expected: Expectation, allow: tuple[str, ...] = ()) -> Judge:
    return Judge(Scenario("one", Path("one.toml"), "x", allow=allow, expectations=expected))


def see(it: Judge, *records: dict[str, Any]) -> None:
    for record in records:
        it.see(record["kind"], record)


def ended(it: Judge, *problems: str) -> RunEnded:
    with pytest.raises(RunEnded) as caught:
        it.conclude(problems)
    return caught.value


def test_a_guest_that_is_stopped_fails_the_run_with_guest_reason_address_and_access() -> None:
    it = judge()
    see(it, CRASH, {"kind": "done", "status": "guest-crashed"})
    verdict = ended(it)
    assert verdict.verdict is Verdict.FAILED
    assert verdict.sentence == "guest hello was stopped: Memory violation at 0x40000000 (write)"
    assert verdict.facts["address"] == "0x40000000"
    assert any("rax 0x1" in line for line in verdict.evidence)


def test_a_crash_that_the_scenario_expects_does_not_decide() -> None:
    it = judge(Expectation(record="crash", where={"guest": "hello"}))
    see(it, CRASH, {"kind": "done", "status": "guest-crashed"})
    it.conclude()


def test_a_crash_of_another_guest_than_the_expected_one_decides() -> None:
    it = judge(Expectation(record="crash", where={"guest": "other"}))
    see(it, CRASH, DONE)
    assert "guest hello was stopped" in ended(it).sentence


def test_a_crash_that_is_allowed_does_not_decide() -> None:
    it = judge(allow=("crash",))
    see(it, CRASH, {"kind": "done", "status": "guest-crashed"})
    it.conclude()


def test_a_failed_entry_has_a_verdict_of_its_own() -> None:
    it = judge()
    see(it, CRASH | {"reason": "VM-entry failure: invalid guest state"})
    assert ended(it).verdict is Verdict.VM_ENTRY_FAILED


@pytest.mark.parametrize(
    ("record", "verdict"),
    [
        ({"kind": "refused", "reason": "no-vmx", "message": "no VMX"}, Verdict.FAILED),
        ({"kind": "refused", "reason": "bad-option", "message": "x=1"}, Verdict.BAD_USAGE),
        ({"kind": "refused", "reason": "bad-module", "message": "y=1"}, Verdict.BAD_USAGE),
        ({"kind": "vm-refused", "guest": "a", "reason": "too-big"}, Verdict.BAD_USAGE),
        ({"kind": "vm-refused", "guest": "a", "reason": "no-memory"}, Verdict.FAILED),
        ({"kind": "report", "guest": "a", "passed": False, "value": "0x1"}, Verdict.FAILED),
    ],
)
def test_a_refusal_or_a_bad_report_that_nobody_expected_decides(
    record: dict[str, Any], verdict: Verdict
) -> None:
    it = judge()
    see(it, record, {"kind": "done", "status": "refused"})
    assert ended(it).verdict is verdict


def test_a_good_report_decides_nothing() -> None:
    it = judge()
    see(it, {"kind": "report", "guest": "a", "passed": True}, DONE)
    it.conclude()


def test_only_the_first_deciding_record_decides() -> None:
    it = judge()
    assert it.see("crash", CRASH)
    assert not it.see("crash", CRASH | {"guest": "second"})
    assert "hello" in ended(it).sentence


def test_a_machine_that_powers_off_without_done_has_failed() -> None:
    assert "without the record that it is done" in ended(judge()).sentence


def test_a_bad_status_that_no_record_explains_has_failed() -> None:
    it = judge()
    see(it, {"kind": "done", "status": "guest-crashed"})
    assert "no record says why" in ended(it).sentence


def test_a_damaged_record_stream_proves_nothing() -> None:
    it = judge()
    see(it, DONE)
    assert ended(it, "a gap").evidence == ("a gap",)


def test_a_crash_is_the_cause_behind_a_wait_that_failed_or_timed_out() -> None:
    it = judge()
    see(it, CRASH)
    for verdict in (Verdict.FAILED, Verdict.TIMEOUT):
        better = it.better(RunEnded(verdict, "no Hello came"))
        assert better.sentence.startswith("guest hello was stopped")
        assert "then: no Hello came" in better.evidence


def test_a_panic_or_a_stale_image_outranks_a_crash() -> None:
    it = judge()
    see(it, CRASH)
    for verdict in (Verdict.PANIC, Verdict.STALE_IMAGE, Verdict.ENGINE_DIED):
        found = RunEnded(verdict, "worse")
        assert it.better(found) is found


def test_what_a_record_says_can_not_steer_a_terminal() -> None:
    it = judge()
    see(it, CRASH | {"guest": "\x1b[2J", "reason": "a\nb", "registers": {"\x1b": "\x9b"}})
    verdict = ended(it)
    for text in (verdict.sentence, *verdict.evidence):
        assert text.isprintable()
