"""Exceptions, interrupts, NMIs, timers and traps, seen from within guests.

These guests print a line for each thing that they check, and report whether all was right.
"""

from __future__ import annotations

from pathlib import Path

import pytest

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


# One guest a boot: Bochs 2.7 does not unblock NMIs when it enters a guest that has none blocked,
# so that one guest's NMI handler blocks those of the next.
@pytest.mark.parametrize(
    ("guest", "least_checks"), [("events", 15), ("events-debug", 12), ("exceptions", 37)]
)
@on(BOCHS_VMX, BOCHS_OLD, BOCHS_SVM, QEMU_SVM)
def test_events_arrive_where_a_processor_delivers_them(
    boot_machine: BootMachine, guest: str, least_checks: int, where: Where
) -> None:
    machine = boot_machine(modules=[guest], requires=GUESTS, engine=where.engine, cpu=where.cpu)
    machine.expect_record("vm-stop", guest=guest)
    assert failed_checks(machine, guest) == wrong(where, guest)
    (report,) = (record for record in machine.records if record.kind == "report")
    assert int(report["value"], 16) >= least_checks


@EVERYWHERE
def test_events_arrive_in_real_mode_by_its_vector_table(
    boot_machine: BootMachine, tmp_path: Path, where: Where
) -> None:
    real = module("events-real", tmp_path, mode="real")
    machine = boot_machine(modules=[real], requires=GUESTS, engine=where.engine, cpu=where.cpu)
    machine.expect_record("vm-stop", guest="events-real", reason="exit", code=0)
    reports = [record for record in machine.records if record.kind == "report"]
    assert [(int(record["value"], 16), record["passed"]) for record in reports] == [
        (number, True) for number in range(1, 9)
    ]


@EVERYWHERE
def test_guests_sleep_by_their_own_timers_and_work_in_between(
    boot_machine: BootMachine, tmp_path: Path, where: Where
) -> None:
    sizes = {"short": "2M", "middle": "4M", "long": "7M"}
    guests = [module("timer", tmp_path, name=name, memory=sizes[name]) for name in sizes]
    machine = boot_machine(modules=guests, requires=GUESTS, engine=where.engine, cpu=where.cpu)
    assert machine.expect_record("done")["status"] == "ok"
    reports = [record for record in machine.records if record.kind == "report"]
    assert {record["guest"] for record in reports} == set(sizes)
    assert all(record["passed"] for record in reports), machine.tail
    stops = [record for record in machine.records if record.kind == "vm-stop"]
    assert [(stop["reason"], stop["exits"]["hlt"]) for stop in stops] == [("exit", 8)] * 3


@EVERYWHERE
@pytest.mark.parametrize("guest", ["timer-masked", "events-nmi-halt"])
def test_what_is_masked_wakes_no_guest_and_so_that_is_its_end(
    boot_machine: BootMachine, guest: str, where: Where
) -> None:
    machine = boot_machine(
        modules=[guest, "hello"], requires=GUESTS, engine=where.engine, cpu=where.cpu
    )
    machine.expect_record("done", code=0)
    stops = {record["guest"]: record for record in machine.records if record.kind == "vm-stop"}
    assert stops[guest]["reason"] == "halt"
    assert stops["hello"]["reason"] == "exit"
    assert not [r for r in machine.records if r.kind == "report" and r["guest"] == guest]
