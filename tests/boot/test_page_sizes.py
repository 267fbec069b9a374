"""A guest's memory is mapped by the pages that it asks for, and it is the same memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import paging
from harness.pytest_plugin import BootMachine
from tests.boot.guest_images import module
from tests.boot.where import BOCHS_SVM, BOCHS_VMX, EVERYWHERE, QEMU_SVM, Where, on

SIZES = {"4K": 4 << 10, "2M": 2 << 20, "1G": 1 << 30}


def mapped(boot_machine: BootMachine, where: Where, pages: str) -> None:
    """The test; each size has its own, for Bochs takes its time over machines of 2 GiB."""
    large = pages == "1G"
    memory = SIZES[pages] if large else 6 << 20
    guest = module("spin", Path(), memory=f"{memory >> 20}M", pages=pages)
    machine = boot_machine(
        modules=[guest],
        requires=["virtualization"],
        engine=where.engine,
        cpu=where.cpu,
        memory_mib=2048 if large else 64,
    )
    started = machine.expect_record("vm-start", guest="spin", timeout=60)
    (kind,) = paging.NESTED.keys() & started.keys()
    root = int(started[kind]["root"], 16)
    for address in (0, 0x12345, memory // 2, memory - 1):
        found = paging.NESTED[kind](machine.read_physical, root, address)
        assert found.size == SIZES[pages]
        assert found.address is not None
        assert found.address % SIZES[pages] == address % SIZES[pages]
    assert not paging.NESTED[kind](machine.read_physical, root, memory).mapped
    machine.expect(r"spin\| spinning", timeout=60)


@EVERYWHERE
@pytest.mark.parametrize("pages", ["4K", "2M"])
def test_memory_is_mapped_by_the_pages_that_a_guest_asks_for(
    boot_machine: BootMachine, where: Where, pages: str
) -> None:
    mapped(boot_machine, where, pages)


@on(QEMU_SVM)
def test_memory_is_mapped_by_pages_of_1_gib(boot_machine: BootMachine, where: Where) -> None:
    mapped(boot_machine, where, "1G")


@pytest.mark.slow
@on(BOCHS_VMX, BOCHS_SVM)
def test_memory_is_mapped_by_pages_of_1_gib_on_bochs(
    boot_machine: BootMachine, where: Where
) -> None:
    mapped(boot_machine, where, "1G")


def test_a_place_that_a_large_page_needs_may_be_lacking(boot_machine: BootMachine) -> None:
    guests = [
        module("hello", Path(), name="large", memory="4M", pages="1G"),
        module("hello", Path(), name="usual", memory="4M"),
    ]
    machine = boot_machine(modules=guests, requires=["virtualization"], memory_mib=512)
    assert machine.expect_record("vm-refused", guest="large")["reason"] == "no-memory"
    assert machine.expect_record("vm-stop", guest="usual")["reason"] == "exit"
    machine.expect_record("done")
