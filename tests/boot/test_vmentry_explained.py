"""An entry that the processor refuses is recorded whole, and explained by the rule it breaks."""

from __future__ import annotations

import pytest

from harness.pytest_plugin import BootMachine, RunScenario
from harness.records import LONGEST_LINE, Record
from harness.verdict import Verdict
from harness.vmentry import explain, processors, source_record
from harness.vmentry.explain import Explanation
from harness.vmentry.fields import BY_NAME

VMX = ("vmx", "ept")
MODELS = ("corei5_lynnfield_750", "corei7_haswell_4770", "tigerlake")


def crash(boot_machine: BootMachine, mistake: str, cpu: str | None = None) -> Record:
    machine = boot_machine(
        modules=["hello"],
        command_line=f"debug={mistake}",
        requires=VMX,
        cpu=cpu,
        engine="bochs" if cpu else None,
    )
    record = machine.expect_record("crash")
    machine.wait()
    return record


def explained(record: Record) -> Explanation:
    return explain.explain(source_record.read(record))


@pytest.mark.parametrize(
    ("mistake", "rule"),
    [
        ("bad-controls", "exec.cr3-target-count"),
        ("bad-host", "host.tr.null"),
        ("bad-guest", "guest.rflags.one"),
    ],
)
def test_a_mistake_is_explained_by_the_one_rule_that_it_breaks(
    boot_machine: BootMachine, mistake: str, rule: str
) -> None:
    found = explained(crash(boot_machine, mistake))
    assert [violation.rule.id for violation in found.violations] == [rule]
    assert found.violations[0].outcome == found.source.reported
    assert not found.findings.undecided


@pytest.mark.parametrize("cpu", MODELS)
def test_every_rule_can_be_judged_on_processors_with_fewer_fields(
    boot_machine: BootMachine, cpu: str
) -> None:
    found = explained(crash(boot_machine, "bad-guest", cpu))
    assert [violation.rule.id for violation in found.violations] == ["guest.rflags.one"]
    assert not found.findings.undecided


def test_the_record_has_every_field_of_the_processor_but_the_error_that_reading_spoils(
    boot_machine: BootMachine,
) -> None:
    record = crash(boot_machine, "bad-controls")
    assert record["instruction_error"] == 7
    encodings = {int(encoding, 16) for encoding in record["fields"]}
    assert {BY_NAME[name].encoding for name in ("guest_cr0", "host_rip", "exit_reason")} < encodings
    assert BY_NAME["vm_instruction_error"].encoding not in encodings
    assert len(encodings) > 140
    assert len(str(record)) < LONGEST_LINE / 4


def test_a_processor_is_recorded_as_it_was_when_the_profiles_were_made(
    boot_machine: BootMachine,
) -> None:
    record = crash(boot_machine, "bad-controls", "corei7_skylake_x")
    told = source_record.capabilities(record)
    assert told == processors.find("corei7_skylake_x")


def test_the_verdict_shows_the_explanation(hv_scenario: RunScenario) -> None:
    outcome = hv_scenario("hello", append="debug=bad-guest")
    assert outcome.verdict is Verdict.VM_ENTRY_FAILED
    assert any("Guest RFLAGS = 0x0, but bit 1 must be 1" in line for line in outcome.evidence)
