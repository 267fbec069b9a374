"""How fast the time-stamp counter runs: hv/core/steady.c, compiled for the host."""

from __future__ import annotations

import pytest

from tests.unit.hosttest import Driver

STEADY = Driver("steady", under_test=("core/steady.c",), checks=("steady.c",))


@pytest.mark.parametrize("check", STEADY.names())
def test_a_measurement(check: str) -> None:
    STEADY.run(check)
