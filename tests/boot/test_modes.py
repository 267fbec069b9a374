"""Processor modes: those that guests start in, those they switch to, those a CPU does not have."""

from __future__ import annotations

from pathlib import Path

from harness.machine import Machine
from harness.pytest_plugin import BootMachine
from tests.boot.guest_images import module
from tests.boot.where import (
    BOCHS_OLD,
    BOCHS_SVM,
    BOCHS_VMX,
    EVERYWHERE,
    QEMU_SVM,
    Where,
    failed_checks,
    on,
    wrong,
)

GUESTS = ("virtualization",)
VMX = ("vmx", "ept")
WITHOUT_UNRESTRICTED_GUEST = BOCHS_OLD.cpu
STAGES = [
    "real mode",
    "16-bit protected mode",
    "32-bit protected mode",
    "32-bit paging",
    "32-bit paging with 4 MiB pages",
    "PAE paging",
    "compatibility mode",
    "64-bit mode",
    "real mode again",
]


def reports(machine: Machine) -> list[tuple[int, bool]]:
    found = [record for record in machine.records if record.kind == "report"]
    return [(int(record["value"], 16), record["passed"]) for record in found]


@EVERYWHERE
def test_a_guest_walks_through_every_mode_and_back_twice(
    boot_machine: BootMachine, tmp_path: Path, where: Where
) -> None:
    real = module("modes", tmp_path, mode="real")
    machine = boot_machine(modules=[real], requires=GUESTS, engine=where.engine, cpu=where.cpu)
    for stage in STAGES * 2:
        machine.expect(rf"modes\| {stage}\r?\n")
    machine.expect_record("vm-stop", guest="modes", reason="exit", code=0)
    first = [(number, True) for number in range(1, len(STAGES) + 1)]
    second = [(number + 0x10, True) for number, _ in first]
    assert reports(machine) == first + second


@EVERYWHERE
def test_modes_are_each_guests_own(boot_machine: BootMachine, tmp_path: Path, where: Where) -> None:
    """Four at once, each somewhere else on its walk whenever another one's turn comes."""
    names = ["one", "two", "three", "four"]
    guests = [module("modes", tmp_path, name=name, mode="real") for name in names]
    machine = boot_machine(
        modules=[*guests, "neighbour"], requires=GUESTS, engine=where.engine, cpu=where.cpu
    )
    assert machine.expect_record("done")["status"] == "ok"
    assert all(passed for _, passed in reports(machine))
    assert len(reports(machine)) == 4 * 2 * len(STAGES) + 1


# Not on Bochs 2.7's AMD-V: its VMRUN refuses CS.L with CS.D outside of long mode (APM 2 15.5.1).
@on(BOCHS_VMX, QEMU_SVM)
def test_a_guest_starts_in_protected_mode_and_is_refused_what_a_processor_refuses(
    boot_machine: BootMachine, tmp_path: Path, where: Where
) -> None:
    """Long mode without PAE, with CS.L, with a 16-bit TSS; PDPTEs with reserved bits; and so on."""
    guest = module("modes-protected", tmp_path, mode="protected")
    machine = boot_machine(modules=[guest], requires=GUESTS, engine=where.engine, cpu=where.cpu)
    machine.expect_record("vm-stop", guest="modes-protected", reason="exit", code=0)
    assert [number for number, passed in reports(machine) if not passed] == []
    # 16 to 21 are about PDPTEs that the processor keeps; under NPT it keeps none (APM 2 15.25.10).
    kept, not_kept = set(range(1, 22)), {*range(1, 16), 22}
    assert {number for number, _ in reports(machine)} == (kept if where == BOCHS_VMX else not_kept)


@on(BOCHS_VMX, BOCHS_OLD, BOCHS_SVM, QEMU_SVM)
def test_control_registers_take_and_refuse_what_a_processor_does(
    boot_machine: BootMachine, where: Where
) -> None:
    machine = boot_machine(modules=["control"], requires=GUESTS, engine=where.engine, cpu=where.cpu)
    machine.expect_record("vm-stop", guest="control")
    assert failed_checks(machine, "control") == wrong(where, "control")


def test_without_unrestricted_guest_a_real_mode_guest_is_refused_and_others_run(
    boot_machine: BootMachine, tmp_path: Path
) -> None:
    guests = [
        module("modes", tmp_path, mode="real"),
        module("modes-protected", tmp_path, mode="protected"),
    ]
    machine = boot_machine(modules=[*guests, "hello"], requires=VMX, cpu=WITHOUT_UNRESTRICTED_GUEST)
    machine.expect(r"vm: modes refused: this CPU has no unrestricted guest")
    machine.expect_record("vm-refused", guest="modes", reason="no-unrestricted-guest")
    machine.expect_record("vm-refused", guest="modes-protected", reason="no-unrestricted-guest")
    machine.expect_record("report", guest="hello", passed=True)
    assert machine.expect_record("done")["status"] == "guest-crashed"


def test_without_unrestricted_guest_turning_paging_off_stops_the_guest_with_that_reason(
    boot_machine: BootMachine,
) -> None:
    machine = boot_machine(
        modules=["modes-leave", "hello"], requires=VMX, cpu=WITHOUT_UNRESTRICTED_GUEST
    )
    reason = "paging turned off on a CPU without unrestricted guest"
    machine.expect_record("crash", guest="modes-leave", reason=reason)
    machine.expect_record("report", guest="hello", passed=True)


def test_with_unrestricted_guest_paging_may_be_turned_off(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["modes-leave"], requires=VMX)
    machine.expect_record("report", guest="modes-leave", passed=True)
    machine.expect_record("vm-stop", guest="modes-leave", reason="exit", code=0)
