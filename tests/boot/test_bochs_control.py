"""Bochs's debugger as a control channel: it never hangs, and physical memory is the machine's."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import project
from harness.engines.base import Module
from harness.pytest_plugin import BootMachine
from tests.boot.guest_images import module

pytestmark = pytest.mark.usefixtures("bochs_here")

PAUSES = 100
START, LENGTH = 0x100000, 0x3000  # of the hypervisor's image; longer than one `xp` gives


def test_a_machine_can_be_paused_again_at_once_any_number_of_times(
    boot_machine: BootMachine,
) -> None:
    """An interrupt that Bochs gets before it has read that it may run would hang it for good."""
    machine = boot_machine(modules=["spin"], engine="bochs", limit=60)
    machine.expect_record("vm-start")
    seen = set()
    for _ in range(PAUSES):
        machine.pause()
        seen.add(machine.registers()["rip"])
        machine.resume()
    assert len(seen) > 1


def loop_in_real_mode(directory: Path) -> Module:
    path = directory / "loop.bin"
    path.write_bytes(b"\xeb\xfe")  # JMP to itself
    return Module(path, "loop.bin name=loop mode=real")


@pytest.mark.parametrize("cpu", [None, "ryzen"])
@pytest.mark.parametrize("mode", ["long", "real"])
def test_physical_memory_is_the_machine_s_while_a_guest_runs(
    boot_machine: BootMachine, tmp_path: Path, cpu: str | None, mode: str
) -> None:
    """Were it the guest's, there would be its own image at the same address, or nothing."""
    guest = module("spin", tmp_path) if mode == "long" else loop_in_real_mode(tmp_path)
    machine = boot_machine(
        modules=[guest], engine="bochs", cpu=cpu, requires=["virtualization"], limit=60
    )
    machine.expect_record("vm-start")
    image = project.image().read_bytes()
    header = image.index(0x1BADB002.to_bytes(4, "little"))  # multiboot's, at the image's start
    wanted = image[header : header + LENGTH]
    in_guest = False
    for _ in range(PAUSES):
        machine.pause()
        guests = 0x1000 if mode == "long" else 0  # the guest's own CR3
        in_guest = machine.registers()["cr3"] == guests
        if in_guest:
            break
        machine.resume()
    assert in_guest
    assert machine.read_physical(START, LENGTH) == wanted
