"""A guest's processor has what its CPUID shows, whichever processor is below."""

from __future__ import annotations

import pytest

from harness.pytest_plugin import BootMachine

MODELS = (
    *("corei7_skylake_x", "corei7_haswell_4770", "corei7_ivy_bridge_3770k", "tigerlake"),
    *("corei5_lynnfield_750", "ryzen"),
)


@pytest.mark.parametrize(
    ("engine", "cpu"), [*(("bochs", model) for model in MODELS), ("qemu-tcg", None)]
)
def test_every_feature_that_a_guest_sees_is_there(
    boot_machine: BootMachine, engine: str, cpu: str | None
) -> None:
    machine = boot_machine(modules=["promises"], engine=engine, cpu=cpu)
    machine.expect_record("report", guest="promises", passed=True)
