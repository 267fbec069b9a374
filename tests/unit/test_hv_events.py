"""What is delivered to a guest next: hv/vm/events.c, compiled for the host with sanitizers."""

from __future__ import annotations

import pytest

from tests.unit.hosttest import Driver

EVENTS = Driver("events", under_test=("vm/events.c",), checks=("events.c",))


@pytest.mark.parametrize("check", EVENTS.names())
def test_events(check: str) -> None:
    EVENTS.run(check)
