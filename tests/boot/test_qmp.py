"""What a test author can do over QMP to a hypervisor whose guests run."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness import paging, project
from harness.engines.base import EndKind
from harness.engines.qemu import QemuTcg
from harness.image import symbols
from harness.machine import Machine
from harness.pytest_plugin import BootedMachine, BootMachine
from harness.verdict import RunEnded, Verdict

NEEDS = ("virtualization", "qmp")
MIB = 1 << 20
EACH_ENGINE = pytest.mark.parametrize("engine", ["bochs", "qemu-tcg"])  # EPT, NPT


def reports(machine: Machine) -> set[tuple[str, bool, str]]:
    """What the guests found out, without what depends on time."""
    return {
        (str(r["guest"]), bool(r["passed"]), str(r["value"]))
        for r in machine.records
        if r.kind == "report"
    }


def test_hundreds_of_stops_disturb_no_result(boot_machine: BootMachine) -> None:
    guests = ["events", "msr", "cpuid", "hello", "state"]
    undisturbed = boot_machine(modules=guests, requires=NEEDS)
    undisturbed.wait()
    assert len(reports(undisturbed)) == len(guests)

    machine = boot_machine(modules=[*guests, "spin"], requires=NEEDS)
    machine.expect_record("vm-start", guest="spin")
    stops = 0
    while stops < 300 or sum(r.kind == "vm-stop" for r in machine.records) < len(guests):
        machine.pause()
        machine.resume()
        machine.drain()
        stops += 1
    assert sum(event["event"] == "STOP" for event in machine.events) == stops
    assert reports(machine) == reports(undisturbed)
    ended = {r["guest"]: r["reason"] for r in machine.records if r.kind == "vm-stop"}
    assert ended == dict.fromkeys(guests, "exit")
    assert machine.problems == []
    machine.ask("map spin 0", "map")  # and the last guest still runs


def test_each_nmi_reaches_the_hypervisor_and_is_counted(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["spin", "hello"], requires=(*NEEDS, "nmi"))
    machine.expect_record("vm-stop", guest="hello", code=0)
    for count in range(1, 21):
        machine.nmi()
        assert machine.expect_record("nmi")["count"] == count
    machine.expect(r"nmi: ")
    machine.ask("map spin 0", "map")  # the guest has not noticed


def test_the_shared_memory_file_and_pmemsave_agree(
    boot_machine: BootMachine, tmp_path: Path
) -> None:
    machine = boot_machine(modules=["spin", "busy"], requires=NEEDS)
    machine.expect_record("vm-start", guest="spin")
    machine.pause()
    for start, size in ((0, 0xA0000), (MIB, 127 * MIB)):
        copy = tmp_path / f"{start:x}"
        machine.qmp("pmemsave", val=start, size=size, filename=str(copy))
        by_file = machine.read_physical(start, size)
        assert hashlib.sha256(by_file).digest() == hashlib.sha256(copy.read_bytes()).digest()
    assert any(by_file)


def nested(record: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The kind of nested page tables that a record speaks of, and what it says of them."""
    [kind] = {"ept", "npt"}.intersection(record)
    return kind, record[kind]


SET_BY_THE_PROCESSOR = {"ept": 0x300, "npt": 0x60}  # accessed and dirty


@EACH_ENGINE
def test_nested_page_tables_say_in_memory_what_the_hypervisor_says(
    boot_machine: BootMachine, engine: str
) -> None:
    machine = boot_machine(modules=["spin", "hello"], engine=engine, requires=["virtualization"])
    start = machine.expect_record("vm-start", guest="spin")
    kind, tables = nested(start)
    root = int(tables["root"], 16)
    size = int(start["memory"])
    inside = (0, 1, 0x1000, size // 2 - 1, size - 1)
    outside = (size, 1 << 30, (1 << 39) - 1, (1 << 47) - 1)
    for address in (*inside, *outside):
        said = nested(machine.ask(f"map spin {address:#x}", "map"))[1]
        found = paging.NESTED[kind](machine.read_physical, root, address)
        stable = ~SET_BY_THE_PROCESSOR[kind]
        assert [entry & stable for entry in found.entries] == [
            int(entry, 16) & stable for entry in said["entries"]
        ]
        assert found.mapped == said["mapped"] == (address in inside)
        assert not found.mapped or found.allows == {"read", "write", "execute", "user"}


@EACH_ENGINE
def test_a_guests_memory_is_found_through_its_nested_page_tables(
    boot_machine: BootMachine, engine: str
) -> None:
    machine = boot_machine(modules=["spin"], engine=engine, requires=["virtualization"])
    kind, tables = nested(machine.expect_record("vm-start", guest="spin"))
    machine.expect(r"spin\| spinning")
    machine.pause()
    image = project.guest("spin").read_bytes()
    root = int(tables["root"], 16)
    code = paging.NESTED[kind](machine.read_physical, root, MIB)  # where guests are loaded
    assert code.address is not None
    there = machine.read_physical(code.address, 256)
    assert there == image[:256]


def test_the_hypervisors_own_page_tables_lead_where_qemu_says(
    boot_machine: BootMachine,
) -> None:
    machine = boot_machine(modules=["spin"], requires=NEEDS)
    machine.expect_record("vm-start", guest="spin")
    machine.ask("hold", "held")  # else the registers might be the guest's
    machine.pause()
    registers = machine.registers()
    image = symbols(project.image())
    for name in ("panic", "record_begin", "image_main"):
        address = image.address(name)
        assert address is not None
        found = paging.walk(machine.read_physical, registers, address)
        said = machine.qmp("human-monitor-command", command_line=f"gva2gpa {address:#x}")
        assert found.address == int(said.split()[1], 16) == address


def test_a_reset_boots_again_with_a_clean_state(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["hello", "spin"], requires=NEEDS)
    for _ in range(3):
        machine.expect_record("boot", seq=0)
        machine.expect_record("vm-start", guest="spin")
        machine.expect_record("vm-stop", guest="hello", code=0)
        machine.expect(r"hello\| Hello")
        machine.reset()
    machine.expect_record("boot", seq=0)
    assert machine.problems == []
    boots = [record for record in machine.records if record.kind == "boot"]
    assert [dict(boot) for boot in boots] == [dict(boots[0])] * 4


def test_a_reset_throws_away_what_guests_had_done(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["spin"], requires=NEEDS)
    machine.expect_record("vm-start", guest="spin")
    counter = symbols(project.image()).address("record")
    assert counter is not None
    first = machine.read_physical(counter, 64)
    machine.write_physical(counter, b"\xff" * 64)
    machine.reset()
    machine.expect_record("vm-start", guest="spin")
    assert machine.read_physical(counter, 64) == first


def test_a_panic_freezes_the_machine_for_inspection(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["panic"], command_line="debug=panic", requires=NEEDS)
    with pytest.raises(RunEnded) as caught:
        machine.wait()
    assert caught.value.verdict is Verdict.PANIC
    assert "panicked: " in caught.value.sentence
    assert machine.qmp("query-status")["status"] == "guest-panicked"
    image = symbols(project.image())
    where = image.symbolize(machine.registers()["rip"])
    assert where is not None
    assert where.startswith(("power_off", "tell_of_panic"))
    assert machine.read_physical(MIB, 4096) != bytes(4096)
    assert machine.running.process.poll() is None  # until the machine is left


def test_a_triple_fault_of_the_hypervisor_freezes_it_and_a_reset_revives_it(
    boot_machine: BootMachine,
) -> None:
    machine = boot_machine(command_line="debug=triple-fault", requires=("qmp",))
    for _ in range(2):
        with pytest.raises(RunEnded) as caught:
            machine.expect_record("done")
        assert caught.value.verdict is Verdict.TRIPLE_FAULT
        assert machine.end is not None
        assert machine.end.kind is EndKind.TRIPLE_FAULT
        where = symbols(project.image()).symbolize(machine.registers()["rip"])
        assert where is not None
        assert where.startswith(("debug_run", "fault_without_idt"))
        machine.reset()
    machine.expect_record("boot", seq=0)


def test_a_device_that_is_plugged_in_appears_in_the_hypervisors_list(
    booted_machine: BootedMachine,
) -> None:
    for _ in range(2):  # the second time from a snapshot, without the card
        machine = booted_machine(
            modules=["spin"],
            record="vm-start",
            where={"guest": "spin"},
            engine=QemuTcg(extra=("-device", "pcie-root-port,id=socket")),
            requires=["virtualization"],
        )
        before = machine.ask("pci", "pci")
        machine.qmp("device_add", driver="e1000", id="card", bus="socket")
        after = machine.ask("pci", "pci")
        [card] = [one for one in after["functions"] if one not in before["functions"]]
        assert (card["vendor"], card["device"], card["class"]) == ("0x8086", "0x100e", "0x020000")
        assert after["count"] == before["count"] + 1 == len(after["functions"])


@EACH_ENGINE
def test_a_panic_that_a_test_wants_is_an_end_like_any_other(
    boot_machine: BootMachine, engine: str
) -> None:
    machine = boot_machine(
        modules=["panic"], command_line="debug=panic", engine=engine, requires=["virtualization"]
    )
    with machine.allow("panic"):
        machine.expect_record("done", status="panic")
        assert machine.wait().kind in (EndKind.POWER_OFF, EndKind.GUEST_PANIC)


@EACH_ENGINE
def test_words_that_the_hypervisor_does_not_know_are_answered_too(
    boot_machine: BootMachine, engine: str
) -> None:
    machine = boot_machine(modules=["spin"], engine=engine, requires=["virtualization"])
    machine.expect_record("vm-start", guest="spin")
    wrong = ("nonsense", "map", "map spin", "map nobody 0", "map spin 0x", "map spin -1", "", '"')
    for words in (*wrong, "x" * 1000, "\x01\x02"):
        machine.command(words)
        answer = machine.expect_record("unknown-command")
        assert words.startswith(answer["text"])
    assert machine.ask("pci", "pci")["count"] > 0
    with pytest.raises(RunEnded, match="can make nothing of the command 'map nobody 0'") as caught:
        machine.ask("map nobody 0", "map")
    assert caught.value.verdict is Verdict.BAD_USAGE
    assert machine.problems == []


def test_a_test_starts_from_guests_that_run(booted_machine: BootedMachine) -> None:
    def running() -> Machine:
        return booted_machine(
            modules=["spin", "hello"],
            record="vm-stop",
            where={"guest": "hello"},
            requires=(*NEEDS, "snapshots"),
        )

    first, second = running(), running()
    assert "-S" not in first.running.argv
    assert "-S" in second.running.argv
    for machine in (first, second):
        assert [r.kind for r in machine.records].count("vm-stop") == 1
        machine.expect(r"hello\| Hello")  # from before the snapshot
        assert machine.ask("map spin 0", "map")["seq"] == len(machine.records) - 1
        assert machine.problems == []
    kept = len((first.directory / "records.jsonl").read_bytes().splitlines())
    assert kept == len(first.records)


@pytest.mark.parametrize("stops", [0, 50])
def test_runs_that_count_instructions_are_the_same_to_the_bit(
    boot_machine: BootMachine, stops: int
) -> None:
    def run(count: int) -> tuple[bytes, bytes]:
        """All that the machine writes, times and all."""
        machine = boot_machine(
            modules=["timer", "busy", "hello"], requires=(*NEEDS, "deterministic"), limit=60
        )
        for _ in range(count):
            with contextlib.suppress(RunEnded):  # it may be over by now
                machine.pause()
                machine.resume()
        machine.wait(timeout=60)
        logs = [machine.directory / name for name in ("console.log", "records.jsonl")]
        console, records = (log.read_bytes() for log in logs)
        return console, records

    console, records = run(0)
    assert b'"ticks":' in records
    assert run(stops) == (console, records)
