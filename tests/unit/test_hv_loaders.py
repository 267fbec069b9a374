"""How guests are loaded, from whatever their images say, under sanitizers."""

from __future__ import annotations

import pytest

from tests.unit.hosttest import Driver

LOADERS = Driver(
    "loaders",
    under_test=(
        *("vm/loader.c", "vm/load_flat.c", "vm/load_linux.c", "vm/load_multiboot.c"),
        *("vm/elf32.c", "core/format.c", "core/text.c"),
    ),
    checks=("linux_loader.c", "multiboot_loader.c", "flat_loader.c"),
    helpers=("check.c", "loading.c"),
)


@pytest.mark.parametrize("check", LOADERS.names())
def test_loader(check: str) -> None:
    LOADERS.run(check)


OPTIONS = Driver(
    "guest_options",
    under_test=("vm/options.c", "vm/boot_files.c", "core/words.c", "core/text.c"),
    checks=("guest_options.c",),
    helpers=("check.c",),
)


@pytest.mark.parametrize("check", OPTIONS.names())
def test_guest_options(check: str) -> None:
    OPTIONS.run(check)
