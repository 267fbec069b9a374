"""What people see of guests: hv/core/console.c and its neighbours, compiled for the host."""

from __future__ import annotations

import pytest

from tests.unit.hosttest import Driver

CONSOLE = Driver(
    "console",
    under_test=("core/console.c", "core/foreground.c", "core/format.c", "dev/guest_console.c"),
    checks=("console.c",),
)


@pytest.mark.parametrize("check", CONSOLE.names())
def test_console(check: str) -> None:
    CONSOLE.run(check)
