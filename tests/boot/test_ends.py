"""A guest ends its own machine by the ports that end a PC or an emulator, and no other machine."""

from __future__ import annotations

from pathlib import Path

from harness.pytest_plugin import BootMachine
from tests.boot.guest_images import module
from tests.boot.where import EVERYWHERE, Where

ENDS = {
    "byte": ("exit", 3),  # 0F4H, QEMU's isa-debug-exit: the value is the code
    "dword": ("exit", 0x100),
    "shutdown": ("exit", 0),  # 8900H, Bochs's
    "keyboard": ("reset", 0),
    "fast": ("reset", 0),  # 92H
    "chipset": ("reset", 0),  # CF9H
}


@EVERYWHERE
def test_a_guest_ends_its_own_machine_by_a_port(
    boot_machine: BootMachine, tmp_path: Path, where: Where
) -> None:
    guests = [module("ends", tmp_path, parameter=how, name=how, memory="2M") for how in ENDS]
    machine = boot_machine(
        modules=[*guests, module("neighbour", tmp_path)],
        requires=("virtualization",),
        engine=where.engine,
        cpu=where.cpu,
    )
    machine.expect_record("done")
    stops = {r["guest"]: (r["reason"], r["code"]) for r in machine.records if r.kind == "vm-stop"}
    assert stops == ENDS | {"neighbour": ("exit", 0)}
    assert b"still here" not in (machine.directory / "console.log").read_bytes()
