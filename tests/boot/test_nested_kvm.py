"""QMP while a nested guest runs: QEMU and KVM are real, only the processor is Bochs's."""

from __future__ import annotations

import pytest

from harness import multiboot, project
from harness.engines.base import EndKind, Unsupported
from harness.machine import Machine
from harness.outcome import Outcome
from harness.pytest_plugin import BootMachine, RunScenario
from harness.verdict import Verdict

ENGINE = "qemu-kvm-in-bochs"
TIMES = 20

pytestmark = pytest.mark.appliance


@pytest.fixture
def spinning(boot_machine: BootMachine) -> Machine:
    """A machine whose nested guest never exits by itself."""
    machine = boot_machine(modules=["spin"], engine=ENGINE, firmware="seabios", limit=60)
    machine.expect_record("vm-start", guest="spin")
    machine.expect("spin. spinning")
    return machine


def test_a_nested_guest_is_stopped_and_continued_many_times(spinning: Machine) -> None:
    for _ in range(TIMES):
        spinning.pause()
        assert spinning.qmp("query-status")["status"] == "paused"
        spinning.resume()
        assert spinning.qmp("query-status")["status"] == "running"
    names = [event["event"] for event in spinning.events]
    assert names.count("STOP") == names.count("RESUME") == TIMES


def test_registers_are_those_of_the_nested_guest_and_memory_is_what_was_loaded(
    spinning: Machine,
) -> None:
    guest = range(0x100000, 0x100000 + project.guest("spin").stat().st_size)
    for _ in range(TIMES):  # a slice may just have ended: then the hypervisor runs
        spinning.pause()
        registers = spinning.registers()
        if registers["rip"] in guest:
            break
        spinning.resume()
    assert registers["rip"] in guest
    assert registers["cr0"] >> 31
    kernel = multiboot.read(project.image())
    code = max(kernel.segments, key=lambda segment: segment.file_size)
    with kernel.path.open("rb") as file:
        file.seek(code.offset)
        loaded = file.read(256)
    assert spinning.read_physical(code.address, 256) == loaded
    with pytest.raises(Unsupported, match="can't be written"):
        spinning.write_physical(code.address, b"x")
    with pytest.raises(Unsupported):
        spinning.step()


def test_an_nmi_from_outside_reaches_the_hypervisor_while_its_guest_runs(spinning: Machine) -> None:
    """By an exit, or between two of them: KVM may have brought the hypervisor back by then."""
    spinning.nmi()
    spinning.expect("nmi: received, 1 so far")
    assert spinning.expect_record("nmi")["count"] == 1
    assert spinning.qmp("query-status")["status"] == "running"


def test_the_reset_button_boots_the_hypervisor_anew_out_of_a_nested_guest(
    spinning: Machine,
) -> None:
    spinning.reset()
    spinning.expect("hv: Vanderpool on .* under KVMKVMKVM,")
    spinning.expect("spin. spinning")
    spinning.qmp("quit")
    assert spinning.wait().kind is EndKind.POWER_OFF


def test_seabios_has_enabled_and_locked_vmx_and_qboot_has_left_it_alone(
    hv_scenario: RunScenario,
) -> None:
    """What QEMU's firmware writes into IA32_FEATURE_CONTROL (SDM 3C 24.7)."""
    for firmware, said in (
        ("seabios", "IA32_FEATURE_CONTROL is 0x100005: VMX enabled by firmware"),
        ("qboot", "IA32_FEATURE_CONTROL was 0x0, unlocked"),
    ):
        outcome = hv_scenario("hello", engine=ENGINE, firmware=firmware)
        assert outcome.verdict is Verdict.PASSED, outcome.sentence
        assert said in console(outcome)


@pytest.mark.parametrize("name", ["cpuid", "ept-escape", "msr", "triple-fault", "timer", "panic"])
def test_scenarios_end_under_seabios_as_they_do_under_qboot(
    hv_scenario: RunScenario, name: str
) -> None:
    outcome = hv_scenario(name, engine=ENGINE, firmware="seabios")
    assert outcome.as_expected, (outcome.sentence, *outcome.evidence)


def console(outcome: Outcome) -> str:
    assert outcome.directory is not None
    return (outcome.directory / "console.log").read_text(errors="replace")
