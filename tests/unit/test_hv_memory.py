"""The hypervisor's memory: EPT, NPT, memory types, the page allocator; compiled for the host."""

from __future__ import annotations

import pytest

from tests.unit.hosttest import Driver

EPT = Driver(
    "ept",
    under_test=("vm/nested.c", "vm/nested_walk.c", "vmx/ept.c", "cpu/mtrr.c"),
    checks=("ept.c", "ept_errors.c", "ept_flags.c", "ept_model.c"),
    helpers=("check.c", "stand_ins.c", "stand_in_pages.c", "ept_fixture.c"),
)


@pytest.mark.parametrize("check", EPT.names())
def test_ept(check: str) -> None:
    EPT.run(check)


NPT = Driver(
    "npt",
    under_test=("vm/nested.c", "vm/nested_walk.c", "svm/npt.c", "cpu/mtrr.c"),
    checks=("npt.c",),
    helpers=("check.c", "stand_ins.c", "stand_in_pages.c"),
)


@pytest.mark.parametrize("check", NPT.names())
def test_npt(check: str) -> None:
    NPT.run(check)


MTRR = Driver("mtrr", under_test=("cpu/mtrr.c",), checks=("mtrr.c",))


@pytest.mark.parametrize("check", MTRR.names())
def test_memory_types(check: str) -> None:
    MTRR.run(check)


# The allocator takes pointers for physical addresses: its memory is mapped low, and the linker puts
# the image's symbols there too.
PAGES = Driver(
    "pages",
    under_test=("core/pages.c",),
    checks=("pages.c",),
    flags=(
        "-no-pie",
        "-Wl,--defsym=image_start=0x20100000",
        "-Wl,--defsym=image_end=0x20110000",
    ),
)


@pytest.mark.parametrize("check", PAGES.names())
def test_page_allocator(check: str) -> None:
    PAGES.run(check)
