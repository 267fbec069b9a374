"""Accesses to device pages: MOV in every form is carried out, anything else stops the guest."""

from __future__ import annotations

from pathlib import Path

from harness.pytest_plugin import BootMachine
from tests.boot.guest_images import module
from tests.boot.where import EVERYWHERE, Where

GUESTS = ("virtualization",)
NO_PLAIN_MOV = "an access to a device that is no plain MOV"
IN_DELIVERY = "an event whose delivery needs a device"

REFUSED = [
    "add", "add-from", "compare", "exchange", "locked", "bit-test", "push-from", "call-through",
    "move-string", "store-string", "repeated", "sse-load", "sse-store", "x87-load", "non-temporal",
]  # fmt: skip


@EVERYWHERE
def test_every_mov_on_a_device_does_what_the_processor_does_on_memory(
    boot_machine: BootMachine, where: Where
) -> None:
    """In 64-, 32- and 16-bit code; real mode and paging of all kinds are in test_modes.py."""
    machine = boot_machine(modules=["mmio"], requires=GUESTS, engine=where.engine, cpu=where.cpu)
    report = machine.expect_record("report", guest="mmio")
    failed = [line for line in machine.tail if "FAILED" in line]
    assert report["passed"], failed
    assert int(report["value"], 16) > 140
    assert machine.expect_record("vm-stop", guest="mmio", reason="exit")["exits"]["memory"] > 1000


@EVERYWHERE
def test_another_instruction_on_a_device_stops_the_guest_and_no_other(
    boot_machine: BootMachine, tmp_path: Path, where: Where
) -> None:
    guests = [module("mmio-refused", tmp_path, parameter=name, name=name) for name in REFUSED]
    machine = boot_machine(
        modules=[*guests, "hello"], requires=GUESTS, engine=where.engine, cpu=where.cpu
    )
    assert machine.expect_record("done")["status"] == "guest-crashed"
    crashes = {crash["guest"]: crash for crash in machine.records if crash.kind == "crash"}
    assert set(crashes) == set(REFUSED)
    for name, crash in crashes.items():
        assert crash["reason"] == NO_PLAIN_MOV, name
        assert 0xD000_0000 <= int(crash["address"], 16) < 0xD000_0010, name
    reports = [record for record in machine.records if record.kind == "report"]
    assert [(record["guest"], record["passed"]) for record in reports] == [("hello", True)]


@EVERYWHERE
def test_a_device_page_can_not_be_executed(
    boot_machine: BootMachine, tmp_path: Path, where: Where
) -> None:
    guest = module("mmio-refused", tmp_path, parameter="jump-there", name="jumper")
    machine = boot_machine(
        modules=[guest, "hello"], requires=GUESTS, engine=where.engine, cpu=where.cpu
    )
    machine.expect_record(
        "crash", guest="jumper", reason="Memory violation", address="0xd0000000", access="execute"
    )
    machine.expect_record("report", guest="hello", passed=True)


@EVERYWHERE
def test_an_event_that_a_device_would_have_to_deliver_stops_the_guest(
    boot_machine: BootMachine, where: Where
) -> None:
    """The instruction at which the NMI comes is a MOV from the very gate, and must not be run."""
    machine = boot_machine(
        modules=["mmio-idt", "mmio-stack"], requires=GUESTS, engine=where.engine, cpu=where.cpu
    )
    machine.expect_record("done", code=1)
    crashes = {crash["guest"]: crash for crash in machine.records if crash.kind == "crash"}
    assert crashes["mmio-idt"]["reason"] == crashes["mmio-stack"]["reason"] == IN_DELIVERY
    assert crashes["mmio-idt"]["address"] == "0xd0000020"
    assert crashes["mmio-stack"]["address"] == "0xd00007f8"
    assert not [record for record in machine.records if record.kind == "report"]
