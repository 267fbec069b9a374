"""What the hypervisor does, as its console and records show it."""

from __future__ import annotations

import pytest

from harness.engines.base import EndKind
from harness.image import symbols
from harness.pytest_plugin import BootMachine, RunScenario
from harness.verdict import RunEnded, Verdict
from tests.boot.where import BOCHS_SVM, QEMU_SVM, Where, on

VMX = ("vmx", "ept")


@pytest.mark.parametrize(
    ("mistake", "report"),
    [
        ("null", r"#PF page fault at 0x[0-9a-f]+: read of 0x0: not mapped"),
        ("write-text", r"#PF page fault .* write of 0x100000: not permitted"),
        ("execute-data", r"#PF page fault .* instruction fetch of 0x[0-9a-f]+: not permitted"),
        ("stack-overflow", r"#DF double fault .* stack overflow, 0x[0-9a-f]+ lies below the stack"),
    ],
)
def test_a_trap_in_the_hypervisor_is_reported_with_its_cause(
    boot_machine: BootMachine, mistake: str, report: str
) -> None:
    machine = boot_machine(command_line=f"debug={mistake}", requires=VMX)
    with machine.allow("trap", "panic"):
        machine.expect(r"\] trap: " + report)
        panic = machine.expect_record("panic")
        assert panic["registers"]["rip"] == panic["rip"]
        assert machine.expect_record("done")["status"] == "panic"
        # QEMU is told by pvpanic, and keeps the machine as it is.
        assert machine.wait().kind in (EndKind.POWER_OFF, EndKind.GUEST_PANIC)


def test_a_panic_names_the_functions_on_its_stack(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["panic"], command_line="debug=panic", requires=VMX)
    with pytest.raises(RunEnded) as ended:
        machine.wait()
    assert ended.value.verdict is Verdict.PANIC
    evidence = "\n".join(ended.value.evidence)
    for function in ("handle_hypercall", "vmx_exited"):
        assert function in evidence


def test_a_panic_ends_the_wait_for_a_record_that_comes_after_it(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["panic"], command_line="debug=panic", requires=VMX)
    with pytest.raises(RunEnded) as ended:
        machine.expect_record("done")
    assert ended.value.verdict is Verdict.PANIC


def test_a_triple_fault_of_the_hypervisor_is_a_verdict_of_its_own(
    boot_machine: BootMachine,
) -> None:
    machine = boot_machine(command_line="debug=triple-fault", requires=VMX)
    with pytest.raises(RunEnded) as ended:
        machine.wait()
    assert ended.value.verdict is Verdict.TRIPLE_FAULT


@pytest.mark.parametrize(
    ("mistake", "reason", "number"),
    [
        ("bad-controls", "VM entry with invalid control field(s)", {"instruction_error": 7}),
        ("bad-host", "VM entry with invalid host-state field(s)", {"instruction_error": 8}),
        ("bad-guest", "VM-entry failure due to invalid guest state", {"exit_reason": 0x8000_0021}),
    ],
)
def test_a_failed_vm_entry_keeps_its_error_number(
    boot_machine: BootMachine, mistake: str, reason: str, number: dict[str, int]
) -> None:
    machine = boot_machine(modules=["hello"], command_line=f"debug={mistake}", requires=VMX)
    crash = machine.expect_record("crash", guest="hello", **number)
    assert reason in crash["reason"]
    stop = machine.expect_record("vm-stop", guest="hello", reason="crash")
    assert stop["exits"] == {"entry-failed": 1}
    assert machine.expect_record("done")["status"] == "guest-crashed"


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ("bad-controls", "VMFAIL: VMCS EXEC CTRL: too may CR3 targets 511"),
        ("bad-host", "VMFAIL: VMCS invalid host TR selector"),
        ("bad-guest", "VMENTER FAIL: RFLAGS[1] cleared"),
    ],
)
def test_where_bochs_names_the_failed_check_so_does_the_verdict(
    hv_scenario: RunScenario, mistake: str, words: str
) -> None:
    outcome = hv_scenario("hello", engine="bochs", append=f"debug={mistake}")
    assert outcome.verdict is Verdict.VM_ENTRY_FAILED
    assert outcome.evidence[0] == f"bochs: {words}"


def test_a_guest_that_is_stopped_leaves_the_next_one_alone(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["ept-escape", "triple-fault", "hello"], requires=VMX)
    machine.wait()
    facts = {(r.kind, r.get("guest")): r for r in machine.records}
    assert facts["crash", "ept-escape"].matches("crash", {"address": "0x400000"})
    assert facts["crash", "triple-fault"].matches("crash", {"reason": "Triple fault"})
    assert facts["report", "hello"].matches("report", {"passed": True})
    assert facts["done", None].matches("done", {"code": 1})


def test_vmlaunch_enters_and_vmresume_follows(boot_machine: BootMachine) -> None:
    """A second VMLAUNCH, or a VMRESUME first, would fail with error 4 or 5 (SDM 3C 31.4)."""
    machine = boot_machine(modules=["hello"], requires=VMX)
    exits = machine.expect_record("vm-stop", guest="hello", reason="exit")["exits"]
    assert exits["hypercall"] == 4  # version, an unknown one, report, exit
    assert exits["io"] > 30


def test_without_debug_panic_the_hypercall_is_not_permitted(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["panic"], requires=VMX)
    machine.expect_record("report", guest="panic", passed=True)
    assert machine.wait().kind is EndKind.POWER_OFF


@pytest.mark.parametrize(
    ("command_line", "word"),
    [
        ("frob=1", "frob=1"),
        ("debug=nonsense", "debug=nonsense"),
        ('debug="panic', "quote"),
        ("debug=" + "x" * 3000, "too many characters"),
    ],
)
def test_a_bad_command_line_is_refused_by_the_word(
    boot_machine: BootMachine, command_line: str, word: str
) -> None:
    machine = boot_machine(command_line=command_line, requires=VMX)
    assert word in machine.expect_record("refused", reason="bad-option")["message"]
    assert machine.expect_record("done")["code"] == 2


def test_on_bochs_the_machine_can_be_read_after_its_power_off(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["hello"], engine="bochs", requires=VMX)
    assert machine.wait().kind is EndKind.POWER_OFF
    assert symbols(machine.boot.image).symbolize(machine.registers()["rip"])
    header = machine.read_physical(symbols(machine.boot.image).by_name["image_start"], 4)
    assert header == bytes.fromhex("02b0ad1b")  # multiboot 1, section 3.1.2


def test_runs_are_tick_identical(boot_machine: BootMachine) -> None:
    """Bochs is deterministic: the same image and arguments give the same console to the byte."""
    consoles = []
    for _ in range(2):
        machine = boot_machine(modules=["hello", "cpuid"], engine="bochs", requires=VMX)
        machine.wait()
        consoles.append((machine.directory / "console.log").read_bytes())
    assert consoles[0] == consoles[1]
    assert b"hello| Hello" in consoles[0]


@pytest.mark.parametrize(
    ("mistake", "check"),
    [
        ("bad-controls", "the VMRUN intercept bit is clear"),
        ("bad-guest", "DR7[63:32] are not zero"),
    ],
)
@on(BOCHS_SVM, QEMU_SVM)
def test_a_failed_vmrun_names_the_check_that_the_processor_keeps_to_itself(
    boot_machine: BootMachine, mistake: str, check: str, where: Where
) -> None:
    machine = boot_machine(
        modules=["hello"],
        command_line=f"debug={mistake}",
        requires=("svm", "npt"),
        engine=where.engine,
        cpu=where.cpu,
    )
    crash = machine.expect_record("crash", guest="hello", exit_reason=0xFFFF_FFFF)
    assert crash["reason"] == f"VM-entry failure: VMEXIT_INVALID, {check}"
    stop = machine.expect_record("vm-stop", guest="hello", reason="crash")
    assert stop["exits"] == {"entry-failed": 1}
    assert machine.expect_record("done")["status"] == "guest-crashed"


def test_an_ept_misconfiguration_is_reported_with_the_entry(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["hello"], command_line="debug=bad-ept", requires=VMX)
    crash = machine.expect_record("crash", guest="hello", reason="Nested paging misconfiguration")
    assert crash["ept"]["misconfigured"] == "writable but not readable"
    assert int(crash["ept"]["entries"][-1], 16) & 7 == 6  # writable and executable, not readable
    assert machine.expect_record("done")["status"] == "guest-crashed"


@on(BOCHS_SVM, QEMU_SVM)
def test_a_reserved_bit_in_an_npt_entry_is_reported_with_the_entry(
    boot_machine: BootMachine, where: Where
) -> None:
    machine = boot_machine(
        modules=["hello"],
        command_line="debug=bad-ept",
        requires=("svm", "npt"),
        engine=where.engine,
        cpu=where.cpu,
    )
    reason = "Nested paging misconfiguration"
    crash = machine.expect_record("crash", guest="hello", reason=reason)
    assert crash["npt"]["misconfigured"] == "bit 7 is reserved in the top table"
    assert int(crash["npt"]["entries"][-1], 16) & 0x81 == 0x81  # present, and that bit
    assert machine.expect_record("done")["status"] == "guest-crashed"
