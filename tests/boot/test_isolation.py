"""What one guest keeps in its registers and its memory, no other guest sees or changes."""

from __future__ import annotations

from pathlib import Path

from harness.pytest_plugin import BootMachine
from tests.boot.guest_images import module
from tests.boot.where import BOCHS_OLD, BOCHS_SVM, BOCHS_VMX, Where, on


# With AVX, without, with. Not on QEMU: 7.2 loses track of its own breakpoints where VMRUN and
# #VMEXIT change DR7, and crashes when two guests use debug registers.
@on(BOCHS_VMX, BOCHS_OLD, BOCHS_SVM)
def test_registers_stay_with_their_guest(
    boot_machine: BootMachine, tmp_path: Path, where: Where
) -> None:
    """`state` with a number fills all registers, with 0 it looks for what is not its own.

    The report's value has a bit for each register that was wrong (hv/guests/state.c).
    """
    guests = [module("state", tmp_path, parameter=n, name=f"state-{n}") for n in (1, 2, 3, 0)]
    machine = boot_machine(
        modules=guests, requires=("virtualization",), engine=where.engine, cpu=where.cpu
    )
    machine.expect_record("done", status="ok")
    reports = {r["guest"]: (r["passed"], r["value"]) for r in machine.records if r.kind == "report"}
    assert reports == {f"state-{n}": (True, "0x0") for n in (0, 1, 2, 3)}
    for stop in (record for record in machine.records if record.kind == "vm-stop"):
        assert stop["exits"]["timer"] > 50, "too few slices to prove anything"
