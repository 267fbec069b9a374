"""A guest's own time: hv/vm/clock.c, compiled for the host with sanitizers."""

from __future__ import annotations

import pytest

from tests.unit.hosttest import Driver

CLOCK = Driver("clock", under_test=("vm/clock.c",), checks=("clock.c",))


@pytest.mark.parametrize("check", CLOCK.names())
def test_clock(check: str) -> None:
    CLOCK.run(check)
