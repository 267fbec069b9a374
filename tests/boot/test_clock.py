"""A guest's clock starts from the machine's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.pytest_plugin import BootMachine
from tests.boot.guest_images import module
from tests.boot.where import EVERYWHERE, Where

A_TIME_ZONE = timedelta(hours=15)  # an emulator may show local time
BOCHS_STARTS = datetime.fromtimestamp(1_000_000_000, UTC)  # whatever the host's clock says


@EVERYWHERE
def test_a_guests_clock_shows_the_machines_date(
    boot_machine: BootMachine, tmp_path: Path, where: Where
) -> None:
    machine = boot_machine(
        modules=[module("clock", tmp_path)],
        requires=("virtualization",),
        engine=where.engine,
        cpu=where.cpu,
    )
    shown = machine.expect_record("report", guest="clock")["value"]
    date = datetime.strptime(f"{int(shown, 16):012x}", "%y%m%d%H%M%S").replace(tzinfo=UTC)
    expected = BOCHS_STARTS if where.engine == "bochs" else datetime.now(UTC)
    assert abs(date - expected) < A_TIME_ZONE
