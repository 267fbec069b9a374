"""As many and as large guests as there is room for, and what is said about those beyond."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import project
from harness.engines.base import Module
from harness.machine import Machine
from harness.pytest_plugin import BootMachine
from tests.boot.guest_images import module
from tests.boot.where import BOCHS_VMX, QEMU_SVM, Where, on

MOST = 16
PAGE = 4096
REQUIRES = ("virtualization",)


def hello(name: str, memory: str = "2M") -> Module:
    return module("hello", Path(), name=name, memory=memory)


def stops(machine: Machine) -> dict[str, str]:
    return {r["guest"]: r["reason"] for r in machine.records if r.kind == "vm-stop"}


def refusals(machine: Machine) -> dict[str, str]:
    return {r["guest"]: r["reason"] for r in machine.records if r.kind == "vm-refused"}


@on(BOCHS_VMX, QEMU_SVM)  # QEMU's AMD-V has sixteen ASIDs, one of which is the hypervisor's
def test_sixteen_guests_run_at_once(boot_machine: BootMachine, where: Where) -> None:
    guests = [module("nap", Path(), name=f"nap-{n}", memory="2M") for n in range(MOST)]
    machine = boot_machine(modules=guests, requires=REQUIRES, engine=where.engine, cpu=where.cpu)
    machine.expect_record("done", status="ok")
    assert stops(machine) == {f"nap-{n}": "exit" for n in range(MOST)}
    starts = [r.seq for r in machine.records if r.kind == "vm-start"]
    reports = [r.seq for r in machine.records if r.kind == "report"]
    assert len(starts) == len(reports) == MOST
    assert max(starts) < min(reports), "they ran one after the other"


def test_one_more_than_128_are_refused_and_with_it_the_boot(boot_machine: BootMachine) -> None:
    guests = [hello(f"hello-{n}") for n in range(129)]
    machine = boot_machine(modules=guests, requires=REQUIRES)
    assert "129" in machine.expect_record("refused", reason="bad-module")["message"]
    assert machine.expect_record("done")["code"] == 2


def test_guests_without_memory_are_refused_and_the_others_run(boot_machine: BootMachine) -> None:
    guests = [hello("before"), hello("too-large", "2G"), *(hello(f"n{n}", "8M") for n in range(9))]
    machine = boot_machine(modules=guests, requires=REQUIRES, memory_mib=64)
    machine.expect_record("done", status="guest-crashed")
    assert set(refusals(machine).values()) == {"no-memory"}
    assert "too-large" in refusals(machine)
    assert {"before", "n0", "n5"} <= stops(machine).keys()
    assert set(stops(machine).values()) == {"exit"}
    assert len(stops(machine)) + len(refusals(machine)) == len(guests)


def test_wherever_memory_runs_out_that_guest_is_refused(
    boot_machine: BootMachine, tmp_path: Path
) -> None:
    """Page by page around the point from which on its own tables and processor have no room."""
    image = project.guest("hello").read_bytes()

    def runs(pages: int) -> bool:
        """With an image so large that it, the hypervisor and the guest fill 16 MiB."""
        path = tmp_path / f"{pages}.bin"
        path.write_bytes(image.ljust(pages * PAGE, b"\0"))
        one = Module(path, "hello.bin name=large memory=12M")
        machine = boot_machine(modules=[one], requires=REQUIRES, memory_mib=16)
        machine.wait()
        refused = refusals(machine)
        assert refused in ({}, {"large": "no-memory"})
        assert stops(machine) == ({} if refused else {"large": "exit"})
        return not refused

    fits, full = 256, 768
    assert runs(fits)
    assert not runs(full)
    while full - fits > 1:
        middle = (fits + full) // 2
        fits, full = (middle, full) if runs(middle) else (fits, middle)
    assert not any(runs(full + more) for more in (1, 2, 3))


@pytest.mark.parametrize("size", [0, 1, 2])
def test_an_image_of_hardly_any_bytes_is_a_guest_all_the_same(
    boot_machine: BootMachine, tmp_path: Path, size: int
) -> None:
    """What follows is memory of zeros, ADD instructions all of them, up to its end."""
    path = tmp_path / "tiny.bin"
    path.write_bytes(b"\x90" * size)
    tiny = Module(path, "tiny.bin memory=2M")
    machine = boot_machine(modules=[tiny, hello("hello")], requires=REQUIRES)
    machine.expect_record("done", status="guest-crashed")
    (crash,) = (record for record in machine.records if record.kind == "crash")
    assert crash["reason"] == "Memory violation"
    assert crash["address"] == "0x200000"
    assert crash["access"] == "execute"
    assert stops(machine) == {"tiny": "crash", "hello": "exit"}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("hello.bin name=", "name="),
        ("hello.bin name", "name="),
        ('hello.bin name="a b"', "name=a b"),
        ("hello.bin name=" + "n" * 32, "up to 31"),
        ("hello.bin memory=1M", "memory=1M"),
        ("hello.bin memory=2097153", "memory=2097153"),
        ("hello.bin memory=2MB", "memory=2MB"),
        ("hello.bin memory=-2M", "memory=-2M"),
        ("hello.bin memory=18446744073709551615G", "memory=18446744073709551615G"),
        ("hello.bin memory=4G", "3072M"),
        ("hello.bin mode=virtual", "mode=virtual"),
        ("hello.bin frob=1", "frob=1"),
        ("hello.bin frob", "frob"),
        ("hello.bin =1", "=1"),
        ('hello.bin name="hello', "quote"),
        ("", "name="),
    ],
)
def test_a_bad_word_of_a_guest_is_named(
    boot_machine: BootMachine, words: str, complaint: str
) -> None:
    guest = Module(project.guest("hello"), words)
    machine = boot_machine(modules=[guest], requires=REQUIRES)
    assert complaint in machine.expect_record("refused", reason="bad-option")["message"]
    assert machine.expect_record("done")["code"] == 2


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("/some/where/hello.first.bin", "hello.first"),
        ("name=alone", "alone"),
        ('  hello.bin   name="quoted"   memory=0x200000  ', "quoted"),
        ("hello.bin name=" + "n" * 31, "n" * 31),
    ],
)
def test_a_guest_is_called_by_its_words(boot_machine: BootMachine, words: str, name: str) -> None:
    guest = Module(project.guest("hello"), words)
    machine = boot_machine(modules=[guest], requires=REQUIRES)
    machine.expect_record("report", guest=name, passed=True)
