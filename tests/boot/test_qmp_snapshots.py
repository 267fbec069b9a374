"""Machines that start where another one had come to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import snapshot
from harness.engines.base import Boot, EndKind, Engine, Unsupported
from harness.engines.qemu import QemuTcg
from harness.machine import Machine
from harness.pytest_plugin import BootedMachine

Start = Callable[..., Machine]
Kernel = Callable[[str], Path]


def test_copies_of_a_machine_go_on_from_where_it_was(
    qemu: Engine, start_machine: Start, tmp_path: Path
) -> None:
    machine = start_machine(qemu, "echo")
    machine.expect("ready")
    machine.send("one")
    machine.expect("ONE")
    kept = snapshot.save(machine, tmp_path / "kept")
    for name in ("first", "second"):
        with snapshot.restore(qemu, kept, tmp_path / name) as copy:
            copy.expect("ready.*ONE")  # what the first had said belongs to its copies
            copy.send(name)
            copy.expect(name.upper())
            copy.send(".")
            assert copy.wait().kind is EndKind.POWER_OFF
            said = (copy.directory / "console.log").read_bytes()
        assert said == b"ready\r\nONE" + name.upper().encode()
    machine.send("two")  # and the first goes on as if nothing had been
    machine.expect("TWO")


def test_a_copy_has_the_memory_of_its_original_and_shares_none_with_it(
    qemu: Engine, start_machine: Start, tmp_path: Path
) -> None:
    machine = start_machine(qemu, "spin")
    machine.expect("spinning")
    machine.write_physical(0x300_0000, b"written from outside")
    kept = snapshot.save(machine, tmp_path / "kept")
    machine.write_physical(0x300_0000, b"changed  after that ")
    with snapshot.restore(qemu, kept, tmp_path / "copy") as copy:
        copy.pause()
        machine.pause()
        assert copy.read_physical(0x300_0000, 20) == b"written from outside"
        assert copy.registers()["rdi"] == 0x12345678
        marker = 0x100000 + copy.read_physical(0x100000, 0x2000).index(b"Vanderpool marks")
        counted = int.from_bytes(copy.read_physical(marker + 16, 4), "little")
        assert counted > 0
        copy.write_physical(marker, b"Wanderpool")
        assert machine.read_physical(marker, 10) == b"Vanderpool"
    assert (kept.directory / "ram").stat().st_blocks < 4096  # a file of 128 MiB, nearly all holes


def test_a_record_that_was_cut_off_is_completed_by_the_copy(
    qemu: Engine, start_machine: Start, tmp_path: Path
) -> None:
    machine = start_machine(qemu, "halves")
    machine.expect("half")
    kept = snapshot.save(machine, tmp_path / "kept")
    assert machine.records == []
    with snapshot.restore(qemu, kept, tmp_path / "copy") as copy:
        copy.send("x")
        assert copy.expect_record("whole")["value"] == 42
        assert copy.problems == []


def test_bochs_has_no_snapshots_and_says_so(
    bochs: Engine, start_machine: Start, tmp_path: Path
) -> None:
    machine = start_machine(bochs, "spin")
    with pytest.raises(Unsupported, match="bochs has no snapshots"):
        snapshot.save(machine, tmp_path / "kept")


def was_copied(machine: Machine) -> bool:
    return "-S" in machine.running.argv


def test_only_the_first_machine_of_a_kind_boots(
    booted_machine: BootedMachine, kernel: Kernel
) -> None:
    def ready(**options: str) -> Machine:
        engine = QemuTcg()
        return booted_machine(kernel("echo"), console="ready", engine=engine, **options)  # type: ignore[arg-type]

    first = ready()
    assert not was_copied(first)
    for word in ("second", "third"):
        machine = ready()
        assert was_copied(machine)
        machine.send(word)
        machine.expect(word.upper())
    first.send("first")
    first.expect("FIRST")
    assert not was_copied(ready(command_line="other=words"))
    assert was_copied(ready(command_line="other=words"))


def test_another_image_of_the_same_name_is_another_kind(
    booted_machine: BootedMachine, kernel: Kernel, tmp_path: Path, qemu: Engine
) -> None:
    def ready() -> Machine:
        return booted_machine(image, console="ready", engine=qemu)

    image = tmp_path / "kernel"
    image.write_bytes(kernel("echo").read_bytes())
    ready()
    assert was_copied(ready())
    image.write_bytes(kernel("echo").read_bytes().replace(b"ready\r\n", b"ready!\n"))
    changed = ready()
    assert not was_copied(changed)
    assert changed.expect("[!\r]")[0] == "!"


def test_where_there_are_no_snapshots_each_machine_boots(
    booted_machine: BootedMachine, kernel: Kernel, bochs: Engine
) -> None:
    for _ in range(2):
        machine = booted_machine(kernel("echo"), console="ready", engine=bochs)
        machine.send("x.")
        machine.expect("X")


def test_a_snapshot_that_is_damaged_is_one_sentence(
    qemu: Engine, start_machine: Start, tmp_path: Path
) -> None:
    from harness.verdict import RunEnded, Verdict

    machine = start_machine(qemu, "spin")
    machine.expect("spinning")
    kept = snapshot.save(machine, tmp_path / "kept")
    (kept.directory / "devices.qcow2").write_bytes(b"no image at all" * 100)
    with pytest.raises(RunEnded, match="QEMU refused blockdev-add: ") as caught:
        snapshot.restore(qemu, kept, tmp_path / "copy")
    assert caught.value.verdict is Verdict.BAD_USAGE


def test_the_key_of_a_snapshot_changes_with_what_the_machine_depends_on(kernel: Kernel) -> None:
    boot = Boot(kernel("echo"))
    keys = {
        snapshot.key(QemuTcg(), boot),
        snapshot.key(QemuTcg(extra=("-S",)), boot),
        snapshot.key(QemuTcg(), Boot(kernel("echo"), "x")),
        snapshot.key(QemuTcg(), Boot(kernel("echo"), memory_mib=64)),
        snapshot.key(QemuTcg(), Boot(kernel("spin"))),
    }
    assert len(keys) == 5
    assert snapshot.key(QemuTcg(), Boot(kernel("echo"))) in keys
