"""Guests that each try one forbidden thing, beside a neighbour whose memory is watched meanwhile.

One table says what must come of each. Many share a boot: the hypervisor runs sixteen guests at a
time, and that none of them disturbs the others is part of what is proven.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.engines.base import Module
from harness.machine import Machine
from harness.pytest_plugin import BootMachine
from tests.boot.guest_images import module
from tests.boot.where import BOCHS_SVM, EVERYWHERE, QEMU_SVM, Where

MEMORY = 2 << 20  # each hostile guest's own
DEVICE = 0xD000_0000
READ, WRITE, EXECUTE = 0, 1, 2  # in the lowest bits of hostile-reach's address

SURVIVES: dict[str, Any] = {}  # it reports that all was as it should be
TRIPLE_FAULT = {"reason": "Triple fault"}
NO_PLAIN_MOV = {"reason": "an access to a device that is no plain MOV"}
PARTLY = {"reason": "an access that only partly lies on a device"}
IN_DELIVERY = {"reason": "an event whose delivery needs a device"}
TASK_SWITCH = {"reason": "Task switch"}


def violation(address: int, access: str | None = None) -> dict[str, Any]:
    """Stopped at this guest-physical address. Walks of page tables read or write, by processor."""
    expected = {"reason": "Memory violation", "address": hex(address)}
    return expected if access is None else {**expected, "access": access}


@dataclass(frozen=True)
class Act:
    """A guest image with its parameter; ``crash`` is what its crash record must have, if any."""

    image: str
    parameter: int | str | None
    crash: dict[str, Any]
    mode: str = "long"


def tables(**acts: dict[str, Any]) -> list[Act]:
    return [Act("hostile-tables", name.replace("_", "-"), crash) for name, crash in acts.items()]


def code(**acts: dict[str, Any]) -> list[Act]:
    return [Act("hostile-code", name.replace("_", "-"), crash) for name, crash in acts.items()]


def storms(*names: str) -> list[Act]:
    return [Act("hostile-storms", name, SURVIVES) for name in names]


def protected(**acts: dict[str, Any]) -> list[Act]:
    return [Act("hostile-protected", name, crash, "protected") for name, crash in acts.items()]


def reach(address: int, access: int = READ) -> Act:
    word = ("read", "write", "execute")[access]
    return Act("hostile-reach", address | access, violation(address, word))


ACTS: dict[str, list[Act]] = {
    # Guest-physical addresses that are not its own; where its neighbours' memory, the hypervisor
    # and the real machine's devices would be if addresses were not translated.
    "memory": [
        reach(MEMORY, READ),
        reach(MEMORY, WRITE),
        reach(MEMORY, EXECUTE),
        reach(2 * MEMORY),
        reach(64 << 20, WRITE),
        reach(0xCFFF_F000),
        reach(DEVICE + 0x1000),
        reach(DEVICE, EXECUTE),
        reach(0xFEC0_0000, WRITE),
        reach(0xFEE0_0000, WRITE),
        reach(0xFFFF_F000),
        reach(1 << 32),
        reach((1 << 39) - 0x1000, WRITE),
        Act("hostile-reach", 0xF_FFFF_FFFF_F000, SURVIVES),  # wider than the processor: its own #PF
    ],
    "tables": tables(
        idt_at_the_end=violation(MEMORY + 0x50, "read"),
        idt_empty=TRIPLE_FAULT,
        idt_unmapped=TRIPLE_FAULT,
        gdt_at_the_end=violation(MEMORY + 0x10, "read"),
        stack_outside=violation(0x3FFF_FFF8, "write"),
        stack_not_canonical=TRIPLE_FAULT,
        cr3_outside=violation(0x4000_0000),
        cr3_at_the_top=violation(0xF_FFFF_F000),
        page_table_outside=violation(0x4000_0000),
        recursive_tables=TRIPLE_FAULT,
        recursive_entry=SURVIVES,
    ),
    "device": [
        *tables(
            idt_on_device=IN_DELIVERY,
            stack_on_device=NO_PLAIN_MOV,
            interrupt_onto_device=IN_DELIVERY,
            cr3_on_device=violation(DEVICE),
            page_table_on_device=violation(DEVICE),
            execute_device=violation(DEVICE, "execute"),
        ),
        *code(
            device_end=PARTLY,
            before_device=PARTLY,
            rep_movs_to_device=NO_PLAIN_MOV,
            xchg_with_device=NO_PLAIN_MOV,
            lock_inc_device=NO_PLAIN_MOV,
            movups_to_device=NO_PLAIN_MOV,
            self_modifying=SURVIVES,
            many_prefixes=SURVIVES,
        ),
    ],
    "code": [
        *code(
            straddles_the_end=violation(MEMORY, "execute"),
            exits_at_the_end=violation(MEMORY, "execute"),
            exits_at_canonical_end=SURVIVES,
            too_many_prefixes=SURVIVES,
            rep_outs={"reason": "String I/O"},
            bad_xsetbv=SURVIVES,
            halt_under_trap_flag=SURVIVES,
            int1=SURVIVES,
            general_detect=SURVIVES,
        ),
        *protected(
            t=TASK_SWITCH,
            g=TASK_SWITCH,
            p=TRIPLE_FAULT,
            r=TRIPLE_FAULT,
            v=SURVIVES,
        ),
    ],
    "storms": [
        *storms("interrupts", "all-vectors", "timers"),
        *storms("int-in-its-handler", "single-steps", "page-faults", "shadows"),
    ],
    "asking": [
        Act("hostile-ports", None, SURVIVES),
        Act("hostile-msrs", None, SURVIVES),
        Act("hostile-hypercalls", None, SURVIVES),
    ],
}


# What an engine's own mistakes keep from being tried on it.
LEFT_OUT = {
    BOCHS_SVM: {("hostile-protected", "v")},
    QEMU_SVM: {
        ("hostile-code", "bad-xsetbv"),
        ("hostile-code", "general-detect"),
        ("hostile-code", "int1"),
        ("hostile-protected", "g"),
        ("hostile-protected", "t"),
        ("hostile-storms", "debug-exceptions"),
    },
}


def hostile(act: Act, number: int, directory: Path) -> Module:
    return module(
        act.image,
        directory,
        parameter=act.parameter,
        name=f"hostile-{number}",
        memory=hex(MEMORY),
        mode=act.mode,
    )


def outcomes(machine: Machine) -> dict[str, dict[str, Any]]:
    """By guest: its crash record, or {} where it reported success and ended by itself."""
    found: dict[str, dict[str, Any]] = {}
    for record in machine.records:
        if record.kind == "crash":
            found[record["guest"]] = dict(record.data)
        elif record.kind == "report" and not record["passed"]:
            found[record["guest"]] = {"reported": record["value"]}
        elif record.kind == "vm-stop" and record["reason"] == "exit" and record["code"] == 0:
            found.setdefault(record["guest"], {})
    return found


@EVERYWHERE
@pytest.mark.parametrize("group", ACTS)
def test_what_comes_of_it(
    boot_machine: BootMachine, tmp_path: Path, group: str, where: Where
) -> None:
    left_out = LEFT_OUT.get(where, set())
    acts = [act for act in ACTS[group] if (act.image, act.parameter) not in left_out]
    guests = [hostile(act, number, tmp_path) for number, act in enumerate(acts)]
    machine = boot_machine(
        modules=[*guests, module("neighbour", tmp_path)],
        requires=("virtualization",),
        engine=where.engine,
        cpu=where.cpu,
    )
    crashes = any(act.crash for act in acts)
    machine.expect_record("done", timeout=25, status="guest-crashed" if crashes else "ok")
    found = outcomes(machine)
    for number, act in enumerate(acts):
        outcome = found[f"hostile-{number}"]
        seen = {key: outcome.get(key) for key in act.crash} if act.crash else outcome
        assert seen == act.crash, act
    assert found["neighbour"] == {}, "its memory is not what it was"


def test_no_page_of_physical_memory_is_reached_but_the_guests_own(
    boot_machine: BootMachine, tmp_path: Path
) -> None:
    """All 64 MiB of the machine and the MiB above: read, written and executed, page by page."""
    end = 65 << 20
    machine = boot_machine(
        modules=[module("hostile-scan", tmp_path, parameter=end), "neighbour"],
        memory_mib=64,
        command_line="debug=go-on",
        requires=("virtualization",),
    )
    machine.wait()
    reports = {r["guest"]: r for r in machine.records if r.kind == "report"}
    assert reports["hostile-scan"]["passed"]
    tries = (end - (4 << 20)) // 4096 * 3
    assert int(reports["hostile-scan"]["value"], 16) == tries
    assert reports["neighbour"]["passed"]
    assert not [r for r in machine.records if r.kind == "crash"]


@EVERYWHERE
@pytest.mark.parametrize(
    "act",
    [
        Act("hostile-storms", "debug-exceptions", SURVIVES),
        Act("hostile-protected", "a", SURVIVES, "protected"),
    ],
    ids=["debug-exceptions", "alignment-checks"],
)
def test_an_exception_whose_delivery_raises_it_again_holds_nobody_up(
    boot_machine: BootMachine, tmp_path: Path, act: Act, where: Where
) -> None:
    """CVE-2015-8104 and CVE-2015-5307: that guest never executes another instruction."""
    if (act.image, act.parameter) in LEFT_OUT.get(where, set()):
        pytest.skip("QEMU 7.2 aborts where a delivery meets a data breakpoint")
    machine = boot_machine(
        modules=[hostile(act, 0, tmp_path), module("neighbour", tmp_path)],
        requires=("virtualization",),
        engine=where.engine,
        cpu=where.cpu,
    )
    machine.expect_record("report", guest="neighbour", passed=True)
    machine.expect_record("vm-stop", guest="neighbour", reason="exit")


@EVERYWHERE
def test_a_storm_of_nmis_ends(boot_machine: BootMachine, tmp_path: Path, where: Where) -> None:
    """Alone: Bochs 2.7 lets the blocking of NMIs leak from a guest to the next that it enters."""
    act = Act("hostile-storms", "nmis", SURVIVES)
    machine = boot_machine(
        modules=[hostile(act, 0, tmp_path)],
        requires=("virtualization",),
        engine=where.engine,
        cpu=where.cpu,
    )
    machine.expect_record("report", guest="hostile-0", passed=True)


@EVERYWHERE
def test_a_guest_that_halts_before_every_slice_ends_leaves_the_harness_its_turn(
    boot_machine: BootMachine, tmp_path: Path, where: Where
) -> None:
    act = Act("hostile-storms", "halts", SURVIVES)
    machine = boot_machine(
        modules=[hostile(act, 0, tmp_path)],
        requires=("virtualization",),
        engine=where.engine,
        cpu=where.cpu,
    )
    machine.expect_record("vm-start", guest="hostile-0")
    machine.ask("map hostile-0 0", "map")


def test_a_guest_writes_nothing_but_lines_of_its_own(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["hostile-console", "neighbour"], requires=("virtualization",))
    with machine.allow("panic"):  # it prints what looks like one
        machine.expect_record("done", status="ok")
    assert not machine.problems, "something else than records came on the records' port"
    reports = [record["guest"] for record in machine.records if record.kind == "report"]
    assert sorted(reports) == ["hostile-console", "neighbour"]
    assert all(record["passed"] for record in machine.records if record.kind == "report")
    console = (machine.directory / "console.log").read_bytes()
    for line in console.split(b"\r\n")[:-1]:
        assert line.startswith((b"[ ", b"hostile-console| ")), line
        assert not set(line) & {*range(9), *range(10, 32), 127}, line
        assert len(line) <= 300
    assert console.count(b"x") >= 16 << 10, "none of the flood is lost"


def test_a_guest_cannot_forge_a_panic(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["hostile-console"], requires=("virtualization",))
    machine.expect_record("done", status="ok")
