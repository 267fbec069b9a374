"""What the hypervisor reads out of strings and puts into bitmaps, under sanitizers."""

from __future__ import annotations

import pytest

from tests.unit.hosttest import Driver

PARSERS = Driver("words", under_test=("core/words.c",), checks=("words.c",))
BITMAPS = Driver("msr_bitmap", under_test=("vmx/msr_bitmap.c",), checks=("msr_bitmap.c",))


@pytest.mark.parametrize("check", PARSERS.names())
def test_parser(check: str) -> None:
    PARSERS.run(check)


@pytest.mark.parametrize("check", BITMAPS.names())
def test_msr_bitmap(check: str) -> None:
    BITMAPS.run(check)
